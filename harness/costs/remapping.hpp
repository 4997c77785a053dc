// A mapping's life, step by step: mmap(2), a first touch of each page, munmap(2). The object itself
// lives on, and its pages with it, as between two processes that map it by turns; unless they are
// to be fresh.
#pragma once

#include "harness/costs/cost.hpp"
#include "harness/costs/touched_pages.hpp"
#include "mechanisms/os/error.hpp"
#include "mechanisms/os/fd.hpp"

#include <fcntl.h>
#include <sys/mman.h>

namespace ipclab {

/// An object, and how it is mapped.
struct RemappedObject {
    Fd memory;
    std::size_t bytes = 0;
    std::size_t bytes_a_page = page_bytes();
    int protection = PROT_READ;
    int flags = MAP_SHARED;
    void* address = nullptr;    ///< null: wherever the kernel likes
    bool always_fresh = false;  ///< whether it has no pages whenever it is mapped

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
    /// Gives all pages back; the object keeps its size.
    void forget_pages() const {
        must(::fallocate(memory.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
                         static_cast<off_t>(bytes)),
             "fallocate(FALLOC_FL_PUNCH_HOLE)");
    }
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
        if (object_.always_fresh) object_.forget_pages();
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
