// The same mappings in pages of 2 MiB: a five-hundredth of the faults.
//
// Linux has two kinds. Transparent huge pages are put together by the kernel as it sees fit, from
// ordinary memory, for who asks with madvise(2); for shared memory it may be forbidden
// (/sys/kernel/mm/transparent_hugepage/shmem_enabled). Reserved ones (hugetlbfs, MFD_HUGETLB) are
// set aside by an administrator and belong to nothing else
// (Documentation/admin-guide/mm/transhuge.rst and hugetlbpage.rst in the kernel's source).
#include "harness/costs/list.hpp"
#include "harness/costs/remapping.hpp"
#include "mechanisms/os/shm_object.hpp"

#include <fstream>
#include <memory>
#include <sstream>

namespace ipclab {
namespace {

constexpr std::size_t huge_bytes = std::size_t{2} << 20;
constexpr int writable = PROT_READ | PROT_WRITE;

/// Addresses that nothing uses, from a multiple of a huge page's size on: elsewhere, memory in huge
/// pages is mapped in small ones. They lie in the middle of a gap, which the kernel fills from one
/// end, and so stay free.
void* free_addresses(std::size_t bytes) {
    constexpr std::size_t margin_bytes = std::size_t{1} << 30;
    std::size_t room = bytes + 2 * margin_bytes;
    void* gap =
        must(::mmap(nullptr, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0),
             "mmap");
    must(::munmap(gap, room), "munmap");
    void* middle = static_cast<std::byte*>(gap) + margin_bytes;
    room -= margin_bytes;
    return std::align(huge_bytes, bytes, middle, room);
}

/// How much of the mapping that begins at `start` is mapped in huge pages of shared memory: proc(5)
/// on smaps.
std::size_t huge_mapped_bytes(const void* start) {
    std::ifstream smaps("/proc/self/smaps");
    const std::string head = fmt::format("{:x}-", reinterpret_cast<std::uintptr_t>(start));
    bool found = false;
    for (std::string line; std::getline(smaps, line);) {
        if (line.starts_with(head)) found = true;
        std::string field;
        std::size_t kib = 0;
        if (found && std::istringstream(line) >> field >> kib && field == "ShmemPmdMapped:")
            return kib << 10;
    }
    return 0;
}

void demand_huge(const RemappedObject& object) {
    void* start = object.map();
    object.touch(start);
    const std::size_t huge = huge_mapped_bytes(start);
    object.unmap(start);
    if (huge == object.bytes) return;
    constexpr const char* path = "/sys/kernel/mm/transparent_hugepage/shmem_enabled";
    std::ifstream file(path);
    std::string choices;
    std::getline(file, choices);
    throw Unsupported("madvise(MADV_HUGEPAGE)",
                      fmt::format("{} of {} bytes are in huge pages, and {} is \"{}\"; allow them "
                                  "with echo advise > {}",
                                  huge, object.bytes, path, choices, path));
}

RemappedObject transparent_huge_pages(std::size_t size_bytes, int protection) {
    const std::size_t bytes = round_up(size_bytes, huge_bytes);
    RemappedObject object{.memory = Fd(must(::memfd_create("ipclab", MFD_CLOEXEC), "memfd_create")),
                          .bytes = bytes,
                          .bytes_a_page = huge_bytes,
                          .protection = writable,
                          .flags = MAP_SHARED | MAP_FIXED_NOREPLACE,
                          .address = free_addresses(bytes)};
    admit_memory(bytes);
    must(::ftruncate(object.memory.get(), static_cast<off_t>(bytes)), "ftruncate");
    void* start = object.map();
    // Errors show in what demand_huge() finds.
    ::madvise(start, bytes, MADV_HUGEPAGE);
    write_each_page(start, bytes, page_bytes());
    // What came in small pages, since it is only on request: now (Linux 6.1).
    constexpr int collapse = 25;  // MADV_COLLAPSE, which glibc 2.36 does not have yet
    ::madvise(start, bytes, collapse);
    object.unmap(start);
    object.protection = protection;
    demand_huge(object);
    return object;
}

RemappedObject reserved_huge_pages(std::size_t size_bytes, int protection) {
    constexpr const char* call = "memfd_create(MFD_HUGETLB)";
    Fd memory(::memfd_create("ipclab", MFD_CLOEXEC | MFD_HUGETLB));
    if (!memory) throw Unsupported(call, "this kernel has no huge pages", errno);
    struct stat status {};
    must(::fstat(memory.get(), &status), "fstat");
    const auto bytes_a_page = static_cast<std::size_t>(status.st_blksize);
    RemappedObject object{.memory = std::move(memory),
                          .bytes = round_up(size_bytes, bytes_a_page),
                          .bytes_a_page = bytes_a_page,
                          .protection = protection};
    const int error = try_to_allocate(object.memory, object.bytes);
    if (error == 0) return object;
    constexpr const char* path = "/proc/sys/vm/nr_hugepages";
    std::uint64_t reserved = 0;
    std::ifstream(path) >> reserved;
    throw LimitReached(
        call, path, fmt::format("{}", reserved),
        fmt::format("reserve {} more with sysctl vm.nr_hugepages=N", object.bytes / bytes_a_page),
        error);
}

template <RemappedObject (*in_pages)(std::size_t size_bytes, int protection), int protection>
std::unique_ptr<Subject> make(const CostCell& cell) {
    return std::make_unique<Remapping>(in_pages(cell.size_bytes, protection));
}

}  // namespace

std::vector<CostEntry> huge_page_costs() {
    const std::vector<CostFigure> steps = Remapping::steps();
    return {
        {{.name = "map/read-thp",
          .figures = steps,
          .explanation =
              "As map/read, of memory that the kernel has put into transparent huge pages of 2 MiB "
              "on request, at addresses that are multiples of that: one read fault, and one entry "
              "in the page table, for what takes 512 entries otherwise. touch reads one word of "
              "each huge page. It leaves out putting the huge pages together, which takes zeroing "
              "or copying 2 MiB each. Skipped where the kernel gives none, which is seen in "
              "/proc/self/smaps.",
          .size_bytes_min = huge_bytes,
          .size_bytes_max = transfer_bytes_max},
         make<transparent_huge_pages, PROT_READ>},
        {{.name = "map/write-thp",
          .figures = steps,
          .explanation =
              "As map/write, of memory that the kernel has put into transparent huge pages of 2 "
              "MiB on request: one write fault for 2 MiB where map/write has 512. touch writes one "
              "word of each huge page; unmap notes once for each that it is dirty. It leaves out "
              "putting the huge pages together. Skipped where the kernel gives none, which is "
              "seen in /proc/self/smaps.",
          .size_bytes_min = huge_bytes,
          .size_bytes_max = transfer_bytes_max},
         make<transparent_huge_pages, writable>},
        {{.name = "map/read-huge",
          .figures = steps,
          .explanation =
              "As map/read, of a memfd in huge pages, of 2 MiB as a rule, that were set aside "
              "beforehand "
              "(MFD_HUGETLB), which exist already: touch reads one word of each and takes one "
              "fault for each. Such memory goes its own way through the kernel, and also map and "
              "unmap differ from those of other memory, since mmap(2) reserves the pages. It "
              "leaves out zeroing them. Skipped where too few are set aside.",
          .size_bytes_min = huge_bytes,
          .size_bytes_max = transfer_bytes_max},
         make<reserved_huge_pages, PROT_READ>},
        {{.name = "map/write-huge",
          .figures = steps,
          .explanation =
              "As map/write, of a memfd in huge pages, of 2 MiB as a rule, that were set aside "
              "beforehand "
              "(MFD_HUGETLB), which exist already: touch writes one word of each and takes one "
              "fault for each; unmap removes as many entries. It leaves out zeroing the huge "
              "pages, which takes longest where they are new. Skipped where too few are set "
              "aside.",
          .size_bytes_min = huge_bytes,
          .size_bytes_max = transfer_bytes_max},
         make<reserved_huge_pages, writable>},
    };
}

}  // namespace ipclab
