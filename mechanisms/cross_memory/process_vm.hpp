// Process memory: the receiver reads the message out of the sender's own memory.
//
// process_vm_readv(2) copies from the address space of another process, named by its pid, into that
// of the caller: one copy, where a pipe makes two, and one system call, made by the receiver. The
// sender lends: its message is in private memory, and it may write the next one when the receiver
// has read this one. What it cannot do is leave: an unread message is gone with the process, and so
// who leaves in good order waits until it has been read.
//
// Who may read everything may also spy, so the kernel asks for what a debugger needs: both are of
// the same user and neither has changed its user since it was executed (PR_SET_DUMPABLE), or the
// reader has CAP_SYS_PTRACE (ptrace(2), "Ptrace access mode checking"). Where Yama's ptrace_scope
// is 1, a process must also say who, other than its ancestors, may read it (PR_SET_PTRACER); from 2
// on, nobody but the administrator may.
//
// The call tells nobody anything. Where the message is, and that there is one, stands in a small
// shared area, on which the two wait for each other: as `process-vm` they look for a while and then
// sleep, as `process-vm/futex-pure` they sleep at once, as `process-vm/spin` never.
//
//   create    shm_open(3) for the small area
//   attach    shm_open(3) by name, mmap(2); prctl(2) with PR_SET_PTRACER
//   exchange  stores and loads; process_vm_readv(2); futex(2) for who sleeps
//   detach    munmap(2)
//   destroy   shm_unlink(3)
#pragma once

#include "mechanisms/mechanism.hpp"
#include "mechanisms/os/atomics.hpp"
#include "mechanisms/os/mapping.hpp"
#include "mechanisms/os/named_object.hpp"
#include "mechanisms/os/patience.hpp"
#include "mechanisms/os/process_memory.hpp"
#include "mechanisms/os/shm_object.hpp"
#include "mechanisms/waiting/futex.hpp"
#include "mechanisms/waiting/spin.hpp"

#include <new>
#include <random>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <vector>

namespace ipclab {

template <template <class> class WaitStrategy>
class AnyProcessVm {
    using Strategy = WaitStrategy<SystemAtomics>;
    static constexpr std::size_t default_room_bytes = std::size_t{64} * 1024;
    /// One call moves a little less than 2 GiB.
    static constexpr std::size_t room_bytes_max = std::size_t{1} << 30;

    /// What one side tells of itself and of its message.
    struct Outbox {
        alignas(64) std::atomic<pid_t> pid{0};
        std::uint64_t cookie{0};   // a random number, which stands at `address` as well
        std::uint64_t address{0};  // in that process; the message follows the cookie
        alignas(64) std::atomic<std::uint32_t> filled{0};
        std::uint64_t message_bytes{0};
        typename Strategy::Bell message_came;
        alignas(64) typename Strategy::Bell room_came;
    };
    struct Header {
        Outbox by_initiator;
        Outbox by_responder;
    };
    static_assert(std::is_trivially_destructible_v<Header>);

  public:
    class Endpoint {
      public:
        Endpoint(const std::string& name, Side mine, std::size_t room_bytes,
                 std::chrono::milliseconds timeout)
            : area_(map(name)), peer_(name, mine), timeout_(timeout) {
            auto* header = std::launder(reinterpret_cast<Header*>(area_.data()));
            outbox_ = mine == Side::initiator ? &header->by_initiator : &header->by_responder;
            inbox_ = mine == Side::initiator ? &header->by_responder : &header->by_initiator;
            const std::uint64_t cookie = std::uniform_int_distribution<std::uint64_t>()(random());
            memory_.resize(sizeof cookie + room_bytes);
            std::memcpy(memory_.data(), &cookie, sizeof cookie);
            outbox_->cookie = cookie;
            outbox_->address = reinterpret_cast<std::uintptr_t>(memory_.data());
            outbox_->filled.store(0);
            outbox_->pid.store(::getpid());
            Strategy::ring(inbox_->room_came);  // who waits for this side to come waits for room
        }
        Endpoint(Endpoint&&) noexcept = default;
        Endpoint& operator=(Endpoint&&) = delete;
        Endpoint(const Endpoint&) = delete;
        Endpoint& operator=(const Endpoint&) = delete;
        /// Waits until the last message has been read, or nobody is left to read it.
        ~Endpoint() {
            if (memory_.empty() || outbox_->filled.load() == 0) return;
            try {
                wait_for_room("detach");
            } catch (const IpcError&) {
                return;  // a destructor has nobody to tell
            }
        }

        Bytes loan(std::size_t n) {
            if (n > message_bytes_max())
                throw Refused("loan",
                              fmt::format("the sender has room for {} bytes", message_bytes_max()),
                              EMSGSIZE);
            wait_for_room("loan");
            return Bytes(memory_).subspan(sizeof(std::uint64_t), n);
        }
        void publish(std::size_t n) {
            outbox_->message_bytes = n;
            outbox_->filled.store(1, Strategy::store_before_ring);
            Strategy::ring(outbox_->message_came);
        }

        std::size_t receive(Bytes in) {
            Wait wait("receive", timeout_, &peer_);
            Strategy::wait_until(
                inbox_->message_came,
                [&](std::memory_order order) { return inbox_->filled.load(order) != 0; },
                [&] { wait.glance(); });
            // Read once: the peer could write another length after the check.
            const std::uint64_t n = *static_cast<volatile std::uint64_t*>(&inbox_->message_bytes);
            if (n > in.size()) throw Refused::too_small("receive", n, in.size());
            fetch(in.first(n));
            inbox_->filled.store(0, Strategy::store_before_ring);
            Strategy::ring(inbox_->room_came);
            return n;
        }

        [[nodiscard]] std::size_t message_bytes_max() const {
            return memory_.size() - sizeof(std::uint64_t);
        }
        [[nodiscard]] std::size_t capacity_bytes() const { return message_bytes_max(); }

      private:
        static Mapping map(const std::string& name) {
            const Fd object = open_shm_object(name);
            if (size_of(object) < sizeof(Header))
                throw Refused("attach", fmt::format("the object /dev/shm/{} is too small", name));
            return {object.get(), sizeof(Header)};
        }
        static std::random_device& random() {
            static std::random_device device;
            return device;
        }

        /// Until the last message has been read, and whoever is to read the next one has come.
        void wait_for_room(const char* what) {
            Wait wait(what, timeout_, &peer_);
            const auto glance = [&] { wait.glance(); };
            Strategy::wait_until(
                outbox_->room_came,
                [&](std::memory_order order) {
                    return outbox_->filled.load(order) == 0 && inbox_->pid.load(order) != 0;
                },
                glance);
            const pid_t reader = inbox_->pid.load(std::memory_order::relaxed);
            if (reader == reader_) return;
            ::prctl(PR_SET_PTRACER, reader);  // EINVAL where there is no Yama, and no need
            reader_ = reader;
        }

        /// A pid may have gone to another process meanwhile, hence the cookie.
        void fetch(Bytes in) const {
            std::uint64_t cookie = 0;
            const iovec here[] = {{&cookie, sizeof cookie}, {in.data(), in.size()}};
            // NOLINTNEXTLINE(performance-no-int-to-ptr): in the other process
            const iovec there{reinterpret_cast<void*>(inbox_->address), sizeof cookie + in.size()};
            const ssize_t got = ::process_vm_readv(inbox_->pid.load(std::memory_order::relaxed),
                                                   here, 2, &there, 1, 0);
            if (got == -1 && (errno == EPERM || errno == ENOSYS)) throw no_reading_of_others(errno);
            if (got == -1 && errno != ESRCH && errno != EFAULT)
                throw SystemError("process_vm_readv", errno);
            if (got == -1) throw PeerGone("process_vm_readv", errno);
            if (static_cast<std::size_t>(got) != there.iov_len || cookie != inbox_->cookie)
                throw PeerGone("process_vm_readv");
        }

        Mapping area_;
        Presence peer_;
        std::chrono::milliseconds timeout_;
        std::vector<std::byte> memory_;  // the cookie, and room for a message
        Outbox* outbox_ = nullptr;
        Outbox* inbox_ = nullptr;
        pid_t reader_ = 0;  // who may read our memory, as far as Yama is concerned
    };

    static AnyProcessVm create(const Needs& needs) {
        try_to_read_another_process();
        AnyProcessVm made(needs, {object_name(needs.address.name, "process-vm")});
        made.presence_ = Presence::create(made.where_.name);
        made.area_ = NamedObject(ObjectKind::posix_shm, made.where_.name);
        const Fd object = create_shm_object(made.where_.name, sizeof(Header));
        const Mapping memory(object.get(), sizeof(Header));
        new (memory.data()) Header;
        return made;
    }
    static AnyProcessVm open(const Address& where, const Needs& needs) {
        return {needs, {object_name(where.name, "process-vm")}};
    }
    [[nodiscard]] Address address() const { return where_; }

    /// Each side gives the room for its own messages.
    Endpoint attach(Role role) { return {where_.name, role.side, room_bytes(), needs_.timeout}; }

    static constexpr Facts facts{
        .name = Strategy::kind == Waiting::sleeps  ? "process-vm/futex-pure"
                : Strategy::kind == Waiting::spins ? "process-vm/spin"
                                                   : "process-vm",
        .family = "cross_memory",
        .sender = Dialect::lends,
        .receiver = Dialect::copies,
        .copies = 1,
        .send_calls = Strategy::wake_calls,
        .receive_calls = {1, 1 + Strategy::wait_calls.peer_asleep},
        .keeps_boundaries = true,
        .two_way = true,
        .addressing = Addressing::object_name,
        .naming = Naming::direct,
        .connects = Connects::any_process,
        .guard = Guard::ptrace_access,
        .lifetime = Lifetime::kernel,
        .message_bytes_max = "the room (64 KiB or as asked)",
        .capacity = "one message",
        .priorities = false,
        .senders = 1,
        .receivers = 1,
        .waiting = Strategy::kind,
        .unread_outlives_sender = false,
        .lesson = "One copy instead of two, for who may read another's memory; what nobody has "
                  "read dies with its sender.",
    };

  private:
    AnyProcessVm(const Needs& needs, Address where) : needs_(needs), where_(std::move(where)) {}

    [[nodiscard]] std::size_t room_bytes() const {
        if (needs_.capacity_bytes > room_bytes_max)
            throw LimitReached("attach", "the most that process_vm_readv(2) moves", "2 GiB",
                               "ask for 1 GiB or less");
        if (needs_.message_bytes_max == 0 && needs_.capacity_bytes == 0) return default_room_bytes;
        return std::max({std::min(needs_.message_bytes_max, room_bytes_max), needs_.capacity_bytes,
                         std::size_t{1}});
    }

    Needs needs_;
    Address where_;
    NamedObject presence_;
    NamedObject area_;
};

using ProcessVm = AnyProcessVm<SpinThenFutex>;
using SleepingProcessVm = AnyProcessVm<SleepInFutex>;
using SpinningProcessVm = AnyProcessVm<Spin>;
static_assert(Addressed<ProcessVm>);

}  // namespace ipclab
