// Memory mapped anew: the call, the page faults that it leaves for later, and its undoing.
//
// mmap(2) makes a note of a range of addresses, and no more; its cost does not depend on the size.
// The page table is filled as the pages are touched, by a fault each: it is there that the size is
// paid for. Reading is cheaper than writing, since a read fault on a page of a file enters up to 16
// pages around it that are in memory already ("fault-around", mm/memory.c in the kernel's source;
// /sys/kernel/debug/fault_around_bytes), and a write fault only its own. MAP_POPULATE asks for all
// pages at once. munmap(2) takes them out of the page table again, and out of the TLB.
#include "harness/costs/list.hpp"
#include "harness/costs/remapping.hpp"
#include "mechanisms/os/shm_object.hpp"

#include <algorithm>
#include <sys/resource.h>

namespace ipclab {
namespace {

constexpr int writable = PROT_READ | PROT_WRITE;

RemappedObject small_pages(std::size_t size_bytes, int protection, int flags) {
    RemappedObject object{.memory = Fd(must(::memfd_create("ipclab", MFD_CLOEXEC), "memfd_create")),
                          .bytes = paged_bytes(size_bytes),
                          .protection = protection,
                          .flags = flags};
    allocate_memory(object.memory, object.bytes);
    return object;
}

class UntouchedMapping : public Cost {
    enum { map, unmap };

  public:
    explicit UntouchedMapping(RemappedObject object) : object_(std::move(object)) {}

  private:
    void pass(Side side, Laps& laps) override {
        if (side != Side::initiator) return;
        laps.start();
        void* start = object_.map();
        laps.lap(map);
        object_.unmap(start);
        laps.lap(unmap);
    }

    RemappedObject object_;
};

/// That touching takes, once the object is mapped.
long later_faults(const RemappedObject& object) {
    const auto so_far = [] {
        rusage used{};
        must(::getrusage(RUSAGE_SELF, &used), "getrusage");
        return used.ru_minflt;
    };
    void* start = object.map();
    const long before = so_far();
    object.touch(start);
    const long after = so_far();
    object.unmap(start);
    return after - before;
}

/// mmap(2) succeeds also where it could not populate. (The first look may meet a fault on this
/// program's own pages.)
void demand_populated(const RemappedObject& object) {
    const long faults = std::min(later_faults(object), later_faults(object));
    if (faults > 0)
        throw Unsupported("mmap(MAP_POPULATE)",
                          fmt::format("touching the pages takes {} faults after it", faults));
}

std::unique_ptr<Subject> make_untouched(const CostCell& cell) {
    return std::make_unique<UntouchedMapping>(small_pages(cell.size_bytes, writable, MAP_SHARED));
}

template <int protection>
std::unique_ptr<Subject> make_touched(const CostCell& cell) {
    return std::make_unique<Remapping>(small_pages(cell.size_bytes, protection, MAP_SHARED));
}

template <int protection>
std::unique_ptr<Subject> make_fresh(const CostCell& cell) {
    RemappedObject object = small_pages(cell.size_bytes, protection, MAP_SHARED);
    object.always_fresh = true;
    return std::make_unique<Remapping>(std::move(object));
}

template <int protection>
std::unique_ptr<Subject> make_populated(const CostCell& cell) {
    RemappedObject object = small_pages(cell.size_bytes, protection, MAP_SHARED | MAP_POPULATE);
    demand_populated(object);
    return std::make_unique<Remapping>(std::move(object));
}

}  // namespace

std::vector<CostEntry> mapping_costs() {
    const std::vector<CostFigure> steps = Remapping::steps();
    return {
        {{.name = "map/untouched",
          .figures = {{"map", "message"}, {"unmap", "message"}},
          .explanation =
              "mmap(2) and munmap(2) of a memfd whose pages exist, with not one of them touched in "
              "between: two system calls, finding a free range of addresses, an entry in the "
              "process's list of mappings and in the object's, and taking them out again. Since "
              "nothing is entered in the page table, it costs the same at any size. It leaves out "
              "all that makes a mapping useful: page faults, and removing pages that were "
              "entered.",
          .size_bytes_max = transfer_bytes_max},
         make_untouched},
        {{.name = "map/read",
          .figures = steps,
          .explanation =
              "A read-only, shared mapping of a memfd whose pages exist, as a receiver makes it: "
              "map is the mmap(2) alone; touch reads one word of each page, and so is the page "
              "faults, each of which enters up to 16 neighbours as well (fault-around); unmap is "
              "the munmap(2) that removes the pages from the page table and from the TLB. It "
              "leaves out the reading of the other words, the making of the pages, and the TLB "
              "misses of later reads. A message of less than a page counts as one page.",
          .size_bytes_max = transfer_bytes_max},
         make_touched<PROT_READ>},
        {{.name = "map/write",
          .figures = steps,
          .explanation =
              "A writable, shared mapping of a memfd whose pages exist, as a sender makes it: map "
              "is the mmap(2) alone; touch writes one word of each page, and so is a page fault "
              "each, since a write fault enters no neighbours; unmap is the munmap(2), which also "
              "notes for each page that it is dirty. It leaves out the writing of the other "
              "words, and allocating and zeroing the pages, which are there already.",
          .size_bytes_max = transfer_bytes_max},
         make_touched<writable>},
        {{.name = "map/read-fresh",
          .figures = steps,
          .explanation =
              "As map/read, of a memfd that has its size and no pages yet: each read fault finds a "
              "free page, zeroes it, charges it to the process's group, and files it with the "
              "object, before it is entered in the page table; and with nothing around it in "
              "memory, it enters no neighbours. touch is therefore a fault for each page. unmap "
              "removes the entries, and the pages stay with the object: giving them back before "
              "the next pass is not in the figures.",
          .size_bytes_max = transfer_bytes_max},
         make_fresh<PROT_READ>},
        {{.name = "map/write-fresh",
          .figures = steps,
          .explanation =
              "As map/write, of a memfd that has its size and no pages yet, which is what the "
              "first writer of any new shared memory pays: a fault for each page, which finds a "
              "free page, zeroes it, charges it to the process's group, files it with the object "
              "and enters it. Held against map/write it tells what making a page costs, beside "
              "the fault itself. Giving the pages back before the next pass is not in the "
              "figures.",
          .size_bytes_max = transfer_bytes_max},
         make_fresh<writable>},
        {{.name = "map/read-populated",
          .figures = steps,
          .explanation =
              "As map/read, with MAP_POPULATE: mmap(2) enters all pages before it returns, so that "
              "map grows with the size, and touch, the same loop over one word of each page, meets "
              "no fault and is only TLB misses. What is saved is the way into the kernel and back "
              "for each fault; against read faults that enter 16 pages at a time that is "
              "little, and populating may even cost more. unmap is as before.",
          .size_bytes_max = transfer_bytes_max},
         make_populated<PROT_READ>},
        {{.name = "map/write-populated",
          .figures = steps,
          .explanation =
              "As map/write, with MAP_POPULATE: the pages of a shared mapping are entered as if "
              "they had been read, so with their neighbours, and yet writable; the write that "
              "follows meets no fault, and the CPU alone marks the entry dirty. So map grows with "
              "the size, and touch is TLB misses and those marks. Against a fault for each page "
              "that saves most of the cost. It leaves out allocating and zeroing the pages.",
          .size_bytes_max = transfer_bytes_max},
         make_populated<writable>},
    };
}

}  // namespace ipclab
