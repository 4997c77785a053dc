// Whether a relative is still there.
//
// Two processes that inherit the two ends of a socket pair need no lock and no name to notice each
// other's end: the kernel closes what a process leaves open, and the other end then reads end of
// file. Who leaves in good order says so before, in a byte.
#pragma once

#include "mechanisms/os/error.hpp"
#include "mechanisms/os/fd.hpp"
#include "mechanisms/os/presence.hpp"

#include <sys/socket.h>
#include <utility>

namespace ipclab {

/// Both ends, before either side has taken its own. As long as anybody keeps an end, its side
/// counts as alive.
inline std::pair<Fd, Fd> lifeline_ends() {
    int ends[2];
    must(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), "socketpair");
    return {Fd(ends[0]), Fd(ends[1])};
}

/// One side's end; says goodbye in the destructor.
class Lifeline {
  public:
    explicit Lifeline(Fd mine) : mine_(std::move(mine)) {}
    Lifeline(Lifeline&&) noexcept = default;
    Lifeline& operator=(Lifeline&&) noexcept = default;
    Lifeline(const Lifeline&) = delete;
    Lifeline& operator=(const Lifeline&) = delete;
    ~Lifeline() {
        if (mine_) ::send(mine_.get(), "g", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    }

    /// Who has not come yet counts as here. One system call; never on the hot path.
    [[nodiscard]] PeerState peer() const {
        char goodbye = 0;
        const ssize_t got = ::recv(mine_.get(), &goodbye, 1, MSG_PEEK | MSG_DONTWAIT);
        if (got == 1) return PeerState::left;
        if (got == 0 || errno == ECONNRESET) return PeerState::died;
        return PeerState::here;
    }

  private:
    Fd mine_;
};

}  // namespace ipclab
