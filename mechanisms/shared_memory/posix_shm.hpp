// POSIX shared memory: one piece of memory, seen by two processes.
//
// shm_open(3) makes an object that has pages and a name but no place; mmap(2) gives it a place in a
// process. What one writes there the other reads, with no copy and no system call in between.
// Memory does not say when it has changed: that takes a second mechanism, and each that there is
// can be had here, over the same mailbox (mailbox.hpp) that holds one message a direction. The rows
// posix-shm/semaphore, posix-shm/condvar … differ in that alone; waiting/ tells of each.
//
//   create    shm_open(3), posix_fallocate(3); the semaphores, in it or beside it
//   attach    shm_open(3) by name, mmap(2)
//   exchange  wait until the room is vacant, touch the memory, post that it is filled
//   detach    munmap(2)
//   destroy   shm_unlink(3), without which the memory stays until the next boot
#pragma once

#include "mechanisms/os/joined.hpp"
#include "mechanisms/os/named_object.hpp"
#include "mechanisms/os/shm_object.hpp"
#include "mechanisms/shared_memory/mailbox.hpp"

namespace ipclab {

template <SemaphoreSet Set>
class PosixShm {
    static constexpr std::string_view name_in_front = "posix-shm/";

  public:
    using Endpoint = Mailbox<Set>;

    static PosixShm create(const Needs& needs) {
        PosixShm made(needs.timeout, object_name(needs.address.name, "posix-shm"));
        const std::size_t bytes = Endpoint::bytes_for(needs);
        made.presence_ = Presence::create(made.name_);
        made.object_ = NamedObject(ObjectKind::posix_shm, made.name_);
        const Fd object(must(
            ::shm_open(fmt::format("/{}", made.name_).c_str(), O_CREAT | O_EXCL | O_RDWR, 0600),
            "shm_open"));
        must(::fchmod(object.get(), 0600), "fchmod");  // whatever the umask took away
        // Not ftruncate(2): pages that /dev/shm cannot give are refused here, not by SIGBUS later.
        allocate_in_dev_shm(object, bytes);
        made.semaphores_ = Endpoint::create(Mapping(object.get(), page_bytes()).data());
        return made;
    }
    static PosixShm open(const Address& where, const Needs& needs) requires(Set::by_address) {
        return {needs.timeout, object_name(where.name, "posix-shm")};
    }
    [[nodiscard]] Address address() const requires(Set::by_address) { return {name_}; }

    Endpoint attach(Role role) {
        const Fd object(must(::shm_open(fmt::format("/{}", name_).c_str(), O_RDWR, 0), "shm_open"));
        return {Mapping(object.get(), size_of(object)), semaphores_, name_, role.side, timeout_};
    }

    static constexpr Facts facts{
        .name = Joined<name_in_front, Set::name>::view,
        .family = "shared_memory",
        .sender = Dialect::lends,
        .receiver = Dialect::lends,
        .copies = 0,
        .send_calls = Endpoint::send_calls,
        .receive_calls = Endpoint::receive_calls,
        .keeps_boundaries = true,
        .two_way = true,
        .addressing = Set::by_address ? Addressing::object_name : Addressing::inherited,
        .connects = Set::by_address ? Connects::any_process : Connects::related_processes,
        .guard = Set::by_address ? Guard::mode_0600 : Guard::inheritance,
        .lifetime = Lifetime::kernel,
        .message_bytes_max = "the room (64 KiB or as asked)",
        .capacity = "one message",
        .priorities = false,
        .senders = 1,
        .receivers = 1,
        .waiting = Set::kind,
        .after_a_kill = Set::after_a_kill,
        .lesson = Set::lesson,
    };

  private:
    PosixShm(std::chrono::milliseconds timeout, std::string name)
        : timeout_(timeout), name_(std::move(name)) {}

    std::chrono::milliseconds timeout_;
    std::string name_;
    NamedObject presence_;
    NamedObject object_;
    typename Set::Objects semaphores_;
};

}  // namespace ipclab
