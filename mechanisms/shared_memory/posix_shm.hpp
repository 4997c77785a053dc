// POSIX shared memory: one piece of memory, seen by two processes.
//
// shm_open(3) makes an object that has pages and a name but no place; mmap(2) gives it a place in a
// process. What one writes there the other reads, with no copy and no system call in between.
// Memory does not say when it has changed: that takes a second mechanism, here two process-shared
// semaphores a direction, over a mailbox that holds one message. `vacant` counts the room, `filled`
// the message. sem_post(3) enters the kernel only to wake somebody, sem_wait(3) only to sleep.
// The state of a semaphore is the C library's: a peer that scribbles over it can make the library
// abort this process, so semaphores are shared with whom one trusts.
//
//   create    shm_open(3), ftruncate(2); sem_init(3) in it
//   attach    shm_open(3) by name, mmap(2)
//   exchange  sem_clockwait(3), touch the memory, sem_post(3)
//   detach    munmap(2)
//   destroy   shm_unlink(3), without which the memory stays until the next boot
#pragma once

#include "mechanisms/mechanism.hpp"
#include "mechanisms/os/fd.hpp"
#include "mechanisms/os/mapping.hpp"
#include "mechanisms/os/named_object.hpp"
#include "mechanisms/os/patience.hpp"

#include <fcntl.h>
#include <new>
#include <semaphore.h>
#include <sys/stat.h>

namespace ipclab {

class PosixShm {
    static constexpr std::size_t default_room_bytes = std::size_t{64} * 1024;

    /// What stands at the start of the object; the two rooms for messages follow, page by page.
    struct Mailbox {
        alignas(64) sem_t vacant;
        alignas(64) sem_t filled;
        alignas(64) std::uint64_t message_bytes;
    };
    struct Header {
        Mailbox by_initiator;
        Mailbox by_responder;
    };

  public:
    class Endpoint {
      public:
        Endpoint(const std::string& name, Side mine, std::chrono::milliseconds timeout)
            : memory_(map(name)),
              peer_(name, mine),
              timeout_(timeout),
              room_bytes_((memory_.size() - page_bytes()) / 2) {
            auto* header = reinterpret_cast<Header*>(memory_.data());
            const Bytes rooms[] = {{memory_.data() + page_bytes(), room_bytes_},
                                   {memory_.data() + page_bytes() + room_bytes_, room_bytes_}};
            const bool first = mine == Side::initiator;
            outgoing_ = first ? &header->by_initiator : &header->by_responder;
            incoming_ = first ? &header->by_responder : &header->by_initiator;
            out_room_ = rooms[first ? 0 : 1];
            in_room_ = rooms[first ? 1 : 0];
        }

        Bytes loan(std::size_t n) {
            if (n > room_bytes_)
                throw Refused("loan", fmt::format("the mailbox holds {} bytes", room_bytes_),
                              EMSGSIZE);
            if (!room_is_mine_) wait_for(outgoing_->vacant, "sem_clockwait(vacant)", loan_glance_);
            room_is_mine_ = true;
            return out_room_.first(n);
        }
        void publish(std::size_t n) {
            outgoing_->message_bytes = n;
            room_is_mine_ = false;
            must(::sem_post(&outgoing_->filled), "sem_post");
        }

        View take() {
            wait_for(incoming_->filled, "sem_clockwait(filled)", take_glance_);
            // Read once: the peer could write another length after the check.
            const std::uint64_t n =
                *static_cast<volatile std::uint64_t*>(&incoming_->message_bytes);
            if (n > room_bytes_)
                throw Refused("take", "the peer names a length that the mailbox cannot hold");
            return in_room_.first(n);
        }
        void release() { must(::sem_post(&incoming_->vacant), "sem_post"); }

        [[nodiscard]] std::size_t message_bytes_max() const { return room_bytes_; }
        [[nodiscard]] std::size_t capacity_bytes() const { return room_bytes_; }

      private:
        static Mapping map(const std::string& name) {
            const Fd object(must(::shm_open(("/" + name).c_str(), O_RDWR, 0), "shm_open"));
            struct stat status {};
            must(::fstat(object.get(), &status), "fstat");
            const auto bytes = static_cast<std::size_t>(status.st_size);
            if (bytes < 3 * page_bytes())
                throw Refused("attach", fmt::format("the object /dev/shm/{} is too small", name));
            return {object.get(), bytes};
        }

        void wait_for(sem_t& semaphore, const char* what, GlanceTime& glance) const {
            Wait wait(what, timeout_, &peer_);
            while (::sem_clockwait(&semaphore, CLOCK_MONOTONIC, glance.get()) == -1) {
                if (errno != ETIMEDOUT && errno != EINTR) throw SystemError(what, errno);
                wait.glance();
                glance.renew();
            }
        }

        Mapping memory_;
        Presence peer_;
        std::chrono::milliseconds timeout_;
        std::size_t room_bytes_;
        Mailbox* outgoing_ = nullptr;
        Mailbox* incoming_ = nullptr;
        Bytes out_room_;
        Bytes in_room_;
        bool room_is_mine_ = false;
        GlanceTime loan_glance_{CLOCK_MONOTONIC};
        GlanceTime take_glance_{CLOCK_MONOTONIC};
    };

    static PosixShm create(const Needs& needs) {
        PosixShm made(needs.timeout, {fresh_name("posix-shm")});
        const std::size_t wanted =
            std::max({needs.message_bytes_max, needs.capacity_bytes, std::size_t{1}});
        const bool by_default = needs.message_bytes_max == 0 && needs.capacity_bytes == 0;
        const std::size_t room = round_up(by_default ? default_room_bytes : wanted, page_bytes());
        made.presence_ = Presence::create(made.where_.name);
        made.object_ = NamedObject(ObjectKind::posix_shm, made.where_.name);
        const Fd object(
            must(::shm_open(("/" + made.where_.name).c_str(), O_CREAT | O_EXCL | O_RDWR, 0600),
                 "shm_open"));
        must(::fchmod(object.get(), 0600), "fchmod");  // whatever the umask took away
        // Not ftruncate(2): pages that /dev/shm cannot give are refused here, not by SIGBUS later.
        const int error =
            ::posix_fallocate(object.get(), 0, static_cast<off_t>(page_bytes() + 2 * room));
        if (error != 0) throw SystemError("posix_fallocate", error);

        const Mapping memory(object.get(), page_bytes());
        auto* header = new (memory.data()) Header;
        for (Mailbox* mailbox : {&header->by_initiator, &header->by_responder}) {
            must(::sem_init(&mailbox->vacant, 1, 1), "sem_init");
            must(::sem_init(&mailbox->filled, 1, 0), "sem_init");
        }
        return made;
    }
    static PosixShm open(const Address& where, const Needs& needs) {
        return {needs.timeout, where};
    }
    [[nodiscard]] Address address() const { return where_; }

    Endpoint attach(Role role) { return {where_.name, role.side, timeout_}; }

    static constexpr Facts facts{
        .name = "posix-shm",
        .family = "shared_memory",
        .sender = Dialect::lends,
        .receiver = Dialect::lends,
        .copies = 0,
        .send_calls = {0, 1},
        .receive_calls = {0, 1},
        .keeps_boundaries = true,
        .two_way = true,
        .addressing = Addressing::object_name,
        .connects = Connects::any_process,
        .guard = Guard::mode_0600,
        .lifetime = Lifetime::kernel,
        .message_bytes_max = "the room (64 KiB or as asked)",
        .capacity = "one message",
        .priorities = false,
        .senders = 1,
        .receivers = 1,
        .waiting = Waiting::sleeps,
        .lesson =
            "Memory is shared for nothing; what costs is telling the other that it has changed.",
    };

  private:
    PosixShm(std::chrono::milliseconds timeout, Address where)
        : timeout_(timeout), where_(std::move(where)) {}

    std::chrono::milliseconds timeout_;
    Address where_;
    NamedObject presence_;
    NamedObject object_;
};

static_assert(Addressed<PosixShm>);

}  // namespace ipclab
