// Eventfds as semaphores: counts in the kernel that are descriptors.
//
// eventfd(2) makes a count that write(2) adds to and read(2) takes from; with EFD_SEMAPHORE a read
// takes one. As it is a descriptor, it can be waited for together with sockets, timers and pipes
// (poll(2), epoll(7)), which no semaphore, futex or condition variable can. It has no name: a
// process has it by inheritance, or is sent it over a Unix socket. It goes with its last
// descriptor.
//
// poll(2) has the timeout that read(2) lacks, and so who has to wait makes two system calls; a
// third, the read that finds nothing, comes before.
#pragma once

#include "mechanisms/os/fd.hpp"
#include "mechanisms/os/patience.hpp"
#include "mechanisms/waiting/semaphore_set.hpp"

#include <array>
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>

namespace ipclab {

class EventfdSemaphores {
  public:
    struct State {};
    using Objects = std::array<Fd, semaphores_of_a_conversation>;

    static Objects create(State& /*state*/) {
        Objects made;
        for (int i = 0; i < semaphores_of_a_conversation; ++i)
            made[static_cast<std::size_t>(i)] = Fd(must(
                ::eventfd(posted_at_first(i) ? 1 : 0, EFD_SEMAPHORE | EFD_NONBLOCK | EFD_CLOEXEC),
                "eventfd"));
        return made;
    }
    EventfdSemaphores(State& /*state*/, const Objects& inherited) {
        for (std::size_t i = 0; i < inherited.size(); ++i)
            mine_[i] = Fd(must(::fcntl(inherited[i].get(), F_DUPFD_CLOEXEC, 0), "fcntl(F_DUPFD)"));
    }

    void wait(int index, auto&& glance) {
        const int fd = mine_[static_cast<std::size_t>(index)].get();
        std::uint64_t taken = 0;
        while (::read(fd, &taken, sizeof taken) == -1) {
            if (errno != EAGAIN && errno != EINTR) throw SystemError("read", errno);
            pollfd readable{fd, POLLIN, 0};
            const int ready = ::poll(&readable, 1, static_cast<int>(glance_interval.count()));
            if (ready == -1 && errno != EINTR) throw SystemError("poll", errno);
            if (ready <= 0) glance();
        }
    }
    void post(int index) {
        const std::uint64_t one = 1;
        must(::write(mine_[static_cast<std::size_t>(index)].get(), &one, sizeof one), "write");
    }

    static constexpr std::string_view name = "eventfd";
    static constexpr Waiting kind = Waiting::sleeps;
    static constexpr SystemCalls post_calls{1, 1};
    static constexpr SystemCalls wait_calls{1, 2};
    static constexpr AfterAKill after_a_kill = AfterAKill::survivor_is_told;
    static constexpr bool by_address = false;
    static constexpr std::string_view lesson = "A count that is a descriptor can be waited for "
                                               "beside sockets and timers, at a system call "
                                               "for each post and each wait.";

  private:
    Objects mine_;
};

static_assert(SemaphoreSet<EventfdSemaphores>);

}  // namespace ipclab
