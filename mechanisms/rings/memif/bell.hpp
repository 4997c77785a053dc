// Adding to an eventfd that somebody else holds, without ever waiting.
//
// A ring's eventfd(2) is one open file with two owners. The peer can clear O_NONBLOCK and fill the
// counter at any time, also between a look at it (poll(2)) and a write(2), which then waits until
// the peer reads: for ever. Nor does write(2) know the flag RWF_NOWAIT here. But asynchronous I/O
// adds to an eventfd when an operation has ended (IOCB_FLAG_RESFD), and that stops at the largest
// count and does not wait. So there is an operation that ends as soon as it is submitted: a poll of
// a file that is ready.
#pragma once

#include "mechanisms/os/fd.hpp"

#include <linux/aio_abi.h>
#include <mutex>

namespace ipclab::memif {

/// Any thread may ring it. Belongs to the process that rang it first.
class Bell {
  public:
    Bell() = default;
    Bell(const Bell&) = delete;
    Bell& operator=(const Bell&) = delete;
    ~Bell();

    /// Adds 1 to `event`; `ready` is a file that can be written to. Returns what went wrong:
    /// nullptr, or a text.
    [[nodiscard]] const char* ring(const Fd& event, const Fd& ready);

  private:
    std::once_flag made_;
    aio_context_t context_ = 0;
};

}  // namespace ipclab::memif
