// What the lesson of process memory says beyond its facts.
#include "mechanisms/cross_memory/process_vm.hpp"
#include "tests/support/process.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <sys/prctl.h>

namespace ipclab::test {
namespace {

using namespace std::chrono_literals;

TEST(ProcessVm, IsOnlyForThoseWhoMayReadOneAnother) {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root, to give it up";
    // As a process that was root before is closed to other processes of its new user.
    Process closed = Process::forked([] {
        must(::setuid(65534), "setuid");
        try {
            ProcessVm::create({});
        } catch (const Unsupported& refusal) {
            if (refusal.error() == EPERM) return;
        }
        throw std::runtime_error("it was not refused");
    });
    EXPECT_EQ(closed.wait(), 0);
    Process open = Process::forked([] {
        become(65534);
        ProcessVm::create({});
    });
    EXPECT_EQ(open.wait(), 0);
}

/// What a hostile peer writes into the shared area: 64 bytes of who it is, then of its message.
struct Raw {
    explicit Raw(const Address& where)
        : fd(open_shm_object(where.name)), area(fd.get(), size_of(fd)) {}
    template <class T>
    T& at(std::size_t offset) const {
        return *reinterpret_cast<T*>(area.data() + offset);
    }
    Fd fd;
    Mapping area;
};
constexpr std::size_t pid_offset = 0;
constexpr std::size_t cookie_offset = 8;
constexpr std::size_t address_offset = 16;
constexpr std::size_t length_offset = 72;

class HostilePeer : public testing::Test {
  protected:
    void SetUp() override {
        const Bytes message = initiator_.loan(8);
        std::fill(message.begin(), message.end(), std::byte{'x'});
        initiator_.publish(8);
        ASSERT_EQ(raw_.at<pid_t>(pid_offset), ::getpid()) << "the area is laid out anew";
        ASSERT_EQ(raw_.at<std::uint64_t>(length_offset), 8U) << "the area is laid out anew";
    }
    std::size_t receive() { return responder_.receive(buffer_); }

    /// A sender stays until its message has been read: not for long, here.
    static Needs impatient() {
        Needs needs;
        needs.timeout = 100ms;
        return needs;
    }
    ProcessVm mechanism_ = ProcessVm::create(impatient());
    ProcessVm::Endpoint responder_ = mechanism_.attach({Side::responder});
    ProcessVm::Endpoint initiator_ = mechanism_.attach({Side::initiator});
    Raw raw_{mechanism_.address()};
    std::array<std::byte, 64> buffer_{};
};

TEST_F(HostilePeer, IsHeardAsLongAsItDoesNotLie) {
    EXPECT_EQ(receive(), 8U);
    EXPECT_EQ(buffer_[7], std::byte{'x'});
}

TEST_F(HostilePeer, NamesALengthThatTheBufferCannotHold) {
    for (const std::uint64_t length : {65ULL, 1ULL << 32, 1ULL << 63, ~0ULL}) {
        raw_.at<std::uint64_t>(length_offset) = length;
        EXPECT_THROW(receive(), Refused) << length;
    }
}

TEST_F(HostilePeer, NamesMemoryThatItDoesNotHave) {
    raw_.at<std::uint64_t>(address_offset) = 4096;
    EXPECT_THROW(receive(), PeerGone);
}

TEST_F(HostilePeer, IsAnotherProcessThatHasThePidNow) {
    raw_.at<std::uint64_t>(cookie_offset) ^= 1;
    EXPECT_THROW(receive(), PeerGone);
}

TEST_F(HostilePeer, HasAPidThatNobodyHas) {
    Process gone = Process::forked([] {});
    const pid_t pid = gone.pid();
    EXPECT_EQ(gone.wait(), 0);
    raw_.at<pid_t>(pid_offset) = pid;
    EXPECT_THROW(receive(), PeerGone);
}

}  // namespace
}  // namespace ipclab::test

int main(int argc, char** argv) {
    testing::InitGoogleMock(&argc, argv);
    return RUN_ALL_TESTS();
}
