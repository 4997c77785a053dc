#include "mechanisms/rings/memif/bell.hpp"

#include <array>
#include <cerrno>
#include <ctime>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace ipclab::memif {
namespace {

/// Operations that have ended and not been collected yet.
constexpr long operations_max = 64;

}  // namespace

Bell::~Bell() {
    if (context_ != 0) ::syscall(SYS_io_destroy, context_);
}

const char* Bell::ring(const Fd& event, const Fd& ready) {
    std::call_once(made_, [&] { ::syscall(SYS_io_setup, operations_max, &context_); });
    if (context_ == 0) return "no signal can be sent: io_setup failed";
    iocb operation{};
    operation.aio_lio_opcode = IOCB_CMD_POLL;
    operation.aio_fildes = static_cast<std::uint32_t>(ready.get());
    operation.aio_buf = POLLOUT;
    operation.aio_flags = IOCB_FLAG_RESFD;
    operation.aio_resfd = static_cast<std::uint32_t>(event.get());
    iocb* first = &operation;
    while (::syscall(SYS_io_submit, context_, 1, &first) != 1) {
        if (errno == EINVAL) return "a ring's descriptor is no eventfd";
        if (errno != EAGAIN) return "no signal can be sent: io_submit failed";
        std::array<io_event, operations_max> ended{};
        timespec no_time{};
        if (::syscall(SYS_io_getevents, context_, 0, operations_max, ended.data(), &no_time) <= 0)
            return "no signal can be sent: io_submit found no room";
    }
    return nullptr;
}

}  // namespace ipclab::memif
