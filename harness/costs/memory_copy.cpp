// The copy that a program makes by itself.
#include "harness/costs/list.hpp"
#include "harness/costs/touched_pages.hpp"
#include "harness/costs/warm_loop.hpp"

#include <cstring>

namespace ipclab {
namespace {

class MemoryCopy : public Cost {
  public:
    explicit MemoryCopy(std::size_t size_bytes) : size_bytes_(size_bytes) {}

  private:
    void attach(Side side) override {
        if (side != Side::initiator) return;
        from_.assign(size_bytes_, std::byte{1});
        to_.assign(size_bytes_, std::byte{2});
    }

    void pass(Side side, Laps& laps) override {
        if (side != Side::initiator) return;
        laps.note(0, mean_ns(size_bytes_, [&] {
                      std::memcpy(to_.data(), from_.data(), size_bytes_);
                      return to_.data();
                  }));
    }

    std::size_t size_bytes_;
    std::vector<std::byte> from_;
    std::vector<std::byte> to_;
};

}  // namespace

std::vector<CostEntry> memory_copy_costs() {
    return {
        {{.name = "memory-copy",
          .figures = {{"copy", "message"}},
          .explanation =
              "memcpy(3) from one private buffer to another, both touched before and used again "
              "and again: the loads and stores at the speed of whichever cache both buffers "
              "fit into together, and of memory where they fit into none. It leaves out the "
              "page faults of memory that is new, the misses on data that another CPU has "
              "written, and all of the kernel: what a copy into a pipe costs beyond this is "
              "not copying.",
          .size_bytes_max = transfer_bytes_max},
         [](const CostCell& cell) -> std::unique_ptr<Subject> {
             return std::make_unique<MemoryCopy>(cell.size_bytes);
         }}};
}

}  // namespace ipclab
