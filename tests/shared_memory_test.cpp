// What the mechanisms in shared memory tell of their objects: full file systems, seals, and what
// msync(2) is for.
#include "mechanisms/os/limits.hpp"
#include "mechanisms/shared_memory/memfd.hpp"
#include "mechanisms/shared_memory/mmap_file.hpp"
#include "tests/support/any_mechanism.hpp"
#include "tests/support/leftovers.hpp"
#include "tests/support/process.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <linux/magic.h>
#include <sched.h>
#include <sstream>
#include <sys/mount.h>
#include <sys/vfs.h>

namespace ipclab::test {
namespace {

using namespace std::chrono_literals;
using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;

// ---------------------------------------------------------------------------------------------
// A full /dev/shm.

constexpr int not_permitted = 77;

/// In a mount namespace of its own, where /dev/shm has one MiB: makes what does not fit. Returns an
/// exit status.
int fill_a_small_dev_shm(const Entry& entry) {
    if (::unshare(CLONE_NEWNS) == -1 ||
        ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == -1 ||
        ::mount("tmpfs", "/dev/shm", "tmpfs", 0, "size=1m,mode=1777") == -1)
        return not_permitted;
    Needs needs;
    needs.capacity_bytes = std::size_t{4} << 20;
    try {
        (void)entry.create(needs);
        ADD_FAILURE() << "4 MiB went into 1 MiB";
    } catch (const LimitReached& limit) {
        EXPECT_EQ(limit.error(), ENOSPC);
        EXPECT_THAT(limit.what(), AllOf(HasSubstr("/dev/shm"), HasSubstr("1048576"),
                                        HasSubstr("mount -o remount,size=")));
    }
    EXPECT_THAT(objects_of(::getpid()), IsEmpty()) << "of what was refused";
    needs.capacity_bytes = 65'536;
    EXPECT_NO_THROW(entry.create(needs)) << "there is room for less";
    return testing::Test::HasFailure() ? 1 : 0;
}

class FullDevShm : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Catalog, FullDevShm,
                         testing::Values("posix-shm/semaphore", "spsc-ring/futex"),
                         [](const auto& name) {
                             return std::string(name.index == 0 ? "posix_shm" : "spsc_ring");
                         });

TEST_P(FullDevShm, IsALimitWithARemedy) {
    const int status =
        Process::forked([] { ::_exit(fill_a_small_dev_shm(entry_of(GetParam()))); }).wait();
    if (status == not_permitted) GTEST_SKIP() << "mounting a small /dev/shm is not permitted";
    EXPECT_EQ(status, 0);
}

/// Asked for before it is taken: otherwise the kernel would kill somebody.
TEST(TooMuchMemory, IsRefusedBeforeAnyIsTaken) {
    Needs needs;
    // A ring each way, of all that there is: too much even if others give memory back meanwhile.
    needs.capacity_bytes = limits::available_memory_bytes().value;
    for (const char* name : {"memfd", "posix-shm/futex"}) {
        const auto start = Clock::now();
        EXPECT_THROW((void)entry_of(name).create(needs), LimitReached) << name;
        EXPECT_LT(Clock::now() - start, 1s) << name;
    }
    needs.capacity_bytes = std::numeric_limits<std::size_t>::max();
    for (const char* name : {"memfd", "posix-shm/futex", "mmap-file"})
        EXPECT_THROW((void)entry_of(name).create(needs), Refused) << name;
}

// ---------------------------------------------------------------------------------------------
// memfd.

using Normal = Memfd<PageSize::normal>;

TEST(MemfdFacts, TheMemoryIsInNoFileSystem) {
    const Normal mechanism = Normal::create({});
    const auto objects = objects_of(::getpid());
    EXPECT_EQ(objects.size(), 2U) << "the socket, and who is present";
    for (const std::string& object : objects) {
        const std::filesystem::path path(object.substr(object.find('/')));
        EXPECT_TRUE(is_socket(path) || file_size(path) <= 2) << object;
    }
}

TEST(MemfdFacts, HugePagesOrTheReasonWhyNot) {
    try {
        (void)Memfd<PageSize::huge>::create({});
    } catch (const Unsupported& reason) {
        EXPECT_THAT(reason.what(), AllOf(HasSubstr("nr_hugepages is 0"), HasSubstr("sysctl")));
        GTEST_SKIP() << reason.what();
    }
}

/// Takes the creator's place at the socket, and hands `descriptor` to whoever comes.
class HostileCreator {
  public:
    explicit HostileCreator(int descriptor)
        : needs_{.timeout = 5s},
          meeting_(sockets::UnixMeetingPoint::create(SOCK_STREAM, needs_,
                                                     sockets::address_or_fresh(needs_, "hostile"))),
          process_(Process::forked([&] {
              const Fd connection = meeting_.attach(Side::responder);
              if (descriptor >= 0)
                  send_descriptor(connection.get(), descriptor);
              else
                  must(::write(connection.get(), "x", 1), "write");
              for (;;) ::pause();
          })) {}

    void attach() { Normal::open({meeting_.address().text()}, needs_).attach({Side::initiator}); }

  private:
    Needs needs_;
    sockets::UnixMeetingPoint meeting_;
    Process process_;
};

Fd memory_of(std::size_t bytes, int seals, bool with_pages = true) {
    Fd made(must(::memfd_create("hostile", MFD_CLOEXEC | MFD_ALLOW_SEALING), "memfd_create"));
    must(::ftruncate(made.get(), static_cast<off_t>(bytes)), "ftruncate");
    if (with_pages && bytes > 0) {
        EXPECT_EQ(::posix_fallocate(made.get(), 0, static_cast<off_t>(bytes)), 0);
    }
    must(::fcntl(made.get(), F_ADD_SEALS, seals), "fcntl(F_ADD_SEALS)");
    return made;
}

constexpr int all_seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
constexpr std::size_t enough = std::size_t{1} << 17;

TEST(HostileMemfd, MemoryThatMayShrinkIsRefused) {
    for (const int seals : {0, F_SEAL_GROW, F_SEAL_GROW | F_SEAL_SEAL, F_SEAL_SHRINK | F_SEAL_GROW})
        EXPECT_THROW(HostileCreator(memory_of(enough, seals).get()).attach(), Refused) << seals;
}

TEST(HostileMemfd, MemoryOfAWrongSizeIsRefused) {
    for (const std::size_t bytes : {std::size_t{0}, std::size_t{1}, page_bytes(), enough + 1})
        EXPECT_THROW(HostileCreator(memory_of(bytes, all_seals).get()).attach(), Refused) << bytes;
}

TEST(HostileMemfd, MemoryThatIsNotThereIsRefused) {
    EXPECT_THROW(HostileCreator(memory_of(std::size_t{1} << 46, all_seals, false).get()).attach(),
                 Refused);
}

TEST(HostileMemfd, WhatIsNoMemoryIsRefused) {
    const Fd null(must(::open("/dev/null", O_RDWR | O_CLOEXEC), "open"));
    EXPECT_THROW(HostileCreator(null.get()).attach(), Refused);
    EXPECT_THROW(HostileCreator(-1).attach(), Refused) << "not even a descriptor";
}

TEST(HostileMemfd, WhatIsSealedAndWholeIsTaken) {
    const Fd memory = memory_of(enough, all_seals);
    HostileCreator creator(memory.get());
    try {
        creator.attach();
    } catch (const SystemError& nobody_is_present) {
        EXPECT_EQ(nobody_is_present.error(), ENOENT) << "it came as far as the presence";
    }
}

// ---------------------------------------------------------------------------------------------
// mmap-file.

/// Of the mapping at `address`, the KiB that differ from what is on the disk (proc(5), smaps).
std::size_t dirty_kib(const void* address) {
    std::ifstream maps("/proc/self/smaps");
    const std::string start = fmt::format("{:x}-", reinterpret_cast<std::uintptr_t>(address));
    std::size_t kib = 0;
    bool inside = false;
    for (std::string line; std::getline(maps, line);) {
        std::istringstream words(line);
        std::string word;
        words >> word;
        if (word.back() != ':') inside = word.starts_with(start);
        std::size_t value = 0;
        if (inside && word.ends_with("_Dirty:") && words >> value) kib += value;
    }
    return kib;
}

TEST(MmapFileFacts, ThePeerSeesAStoreThatIsNotOnTheDisk) {
    MmapFile mechanism = MmapFile::create({});
    auto mine = mechanism.attach({Side::initiator});
    struct statfs where {};
    must(::statfs(mechanism.address().name.c_str(), &where), "statfs");
    if (where.f_type == TMPFS_MAGIC) GTEST_SKIP() << "the file is on a tmpfs, which has no disk";
    mine.sync();
    ASSERT_EQ(dirty_kib(mine.memory().data()), 0U) << "what msync left";

    mine.loan(1)[0] = std::byte{7};
    mine.publish(1);
    Process peer = Process::forked([&] {
        auto theirs = mechanism.attach({Side::responder});
        if (theirs.take()[0] != std::byte{7}) throw std::runtime_error("not what was stored");
        theirs.release();
    });
    EXPECT_EQ(peer.wait(), 0);
    EXPECT_GT(dirty_kib(mine.memory().data()), 0U) << "seen by the peer, and not by the disk";
    mine.sync();
    EXPECT_EQ(dirty_kib(mine.memory().data()), 0U) << "that is what msync is for";
}

}  // namespace
}  // namespace ipclab::test

int main(int argc, char** argv) {
    using namespace ipclab::test;
    testing::InitGoogleMock(&argc, argv);
    withdraw_from_the_neighbours();
    return RUN_ALL_TESTS();
}
