// System V shared memory attached and detached, as often as one likes: the segment stays.
#include "harness/costs/list.hpp"
#include "harness/costs/touched_pages.hpp"
#include "mechanisms/os/private_segments.hpp"
#include "mechanisms/os/shm_object.hpp"
#include "mechanisms/os/sysv_attached.hpp"

namespace ipclab {
namespace {

class SysvAttach : public Cost {
    enum { attach_segment, detach_segment };

  public:
    explicit SysvAttach(std::size_t size_bytes) : bytes_(paged_bytes(size_bytes)) {}

  private:
    void attach(Side side) override {
        if (side != Side::initiator) return;
        admit_memory(bytes_);
        const PrivateSegments registered = register_private_segments();
        segment_ = ::shmget(IPC_PRIVATE, bytes_, IPC_CREAT | 0600);
        if (segment_ == -1) throw_why_no_segment(bytes_, errno);
        // Linux lets a segment that is marked for removal be attached again, for as long as
        // somebody has it attached (shmctl(2)): so it goes with this process, however that ends.
        kept_ = SysvAttached(segment_);
        must(::shmctl(segment_, IPC_RMID, nullptr), "shmctl(IPC_RMID)");
        write_each_page(kept_.data(), bytes_, page_bytes());
    }

    void pass(Side side, Laps& laps) override {
        if (side != Side::initiator) return;
        laps.start();
        const void* start = must(::shmat(segment_, nullptr, 0), "shmat");
        laps.lap(attach_segment);
        must(::shmdt(start), "shmdt");
        laps.lap(detach_segment);
    }

    std::size_t bytes_;
    int segment_ = -1;
    SysvAttached kept_;
};

}  // namespace

std::vector<CostEntry> sysv_attach_costs() {
    return {{{.name = "attach/sysv",
              .figures = {{"attach", "message"}, {"detach", "message"}},
              .explanation =
                  "shmat(2) and shmdt(2) of a System V segment whose pages exist, with not one of "
                  "them touched: what mmap(2) and munmap(2) do, and besides that finding the "
                  "segment by its number, checking the permissions, making an open file for the "
                  "attachment, counting it, and noting who did it when. It does not depend on the "
                  "size. It leaves out shmget(2), page faults, and removing pages that were "
                  "entered: those cost what they cost with any other shared memory (map/read, "
                  "map/write).",
              .size_bytes_max = transfer_bytes_max},
             [](const CostCell& cell) -> std::unique_ptr<Subject> {
                 return std::make_unique<SysvAttach>(cell.size_bytes);
             }}};
}

}  // namespace ipclab
