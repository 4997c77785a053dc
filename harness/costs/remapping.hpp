// A mapping's life, step by step: mmap(2), a first touch of each page, munmap(2). The object itself
// lives on, and has all of its pages from the beginning: as between two processes that map it by
// turns.
#pragma once

#include "harness/costs/cost.hpp"
#include "harness/costs/touched_pages.hpp"
#include "mechanisms/os/error.hpp"
#include "mechanisms/os/fd.hpp"

#include <sys/mman.h>

namespace ipclab {

/// An object with all of its pages, and how it is mapped.
struct RemappedObject {
    Fd memory;
    std::size_t bytes = 0;
    std::size_t bytes_a_page = page_bytes();
    int protection = PROT_READ;
    int flags = MAP_SHARED;
    void* address = nullptr;  ///< null: wherever the kernel likes

    [[nodiscard]] void* map() const {
        return must(::mmap(address, bytes, protection, flags, memory.get(), 0), "mmap");
    }
    void touch(void* start) const {
        if ((protection & PROT_WRITE) != 0)
            write_each_page(start, bytes, bytes_a_page);
        else
            read_each_page(start, bytes, bytes_a_page);
    }
    void unmap(void* start) const { must(::munmap(start, bytes), "munmap"); }
};

class Remapping : public Cost {
    enum { map, touch, unmap };

  public:
    static std::vector<CostFigure> steps() {
        return {{"map", "message"}, {"touch", "message"}, {"unmap", "message"}};
    }

    explicit Remapping(RemappedObject object) : object_(std::move(object)) {}

  private:
    void pass(Side side, Laps& laps) override {
        if (side != Side::initiator) return;
        laps.start();
        void* start = object_.map();
        laps.lap(map);
        object_.touch(start);
        laps.lap(touch);
        object_.unmap(start);
        laps.lap(unmap);
    }

    RemappedObject object_;
};

}  // namespace ipclab
