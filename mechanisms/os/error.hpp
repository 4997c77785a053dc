// What a conversation can come back with when it fails. Every error carries the call that failed
// and its errno, so that one line tells a reader what happened and where.
#pragma once

#include <cerrno>
#include <cstdint>
#include <fmt/format.h>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>

namespace ipclab {

class IpcError : public std::runtime_error {
  public:
    /// `call` is the system call, or the step, that failed; `error` its errno, 0 where there is
    /// none.
    IpcError(std::string_view kind, std::string_view call, int error, std::string_view detail = {})
        : std::runtime_error(sentence(kind, call, error, detail)), call_(call), error_(error) {}

    [[nodiscard]] const std::string& call() const { return call_; }
    [[nodiscard]] int error() const { return error_; }

  private:
    static std::string sentence(std::string_view kind, std::string_view call, int error,
                                std::string_view detail) {
        std::string text(call);
        text.append(": ").append(kind);
        if (!detail.empty()) text.append(", ").append(detail);
        if (error != 0)
            text.append(" (").append(std::generic_category().message(error)).append(")");
        return text;
    }

    std::string call_;
    int error_;
};

/// The peer ended the conversation in good order: end of file.
struct Closed : IpcError {
    explicit Closed(std::string_view call)
        : IpcError("the peer has closed the conversation", call, 0) {}
};

/// The peer died, or left in the middle of a message.
struct PeerGone : IpcError {
    explicit PeerGone(std::string_view call, int error = 0)
        : IpcError("the peer is gone", call, error) {}
};

/// The deadline passed. The peer lives, or has not come yet.
struct TimedOut : IpcError {
    explicit TimedOut(std::string_view call) : IpcError("nothing came in time", call, ETIMEDOUT) {}
};

/// Messages were lost on the way: `count` of them.
struct Lost : IpcError {
    Lost(std::string_view call, std::uint64_t messages)
        : IpcError("messages were lost", call, 0, std::to_string(messages)), count(messages) {}
    std::uint64_t count;
};

/// What was asked, or what came, breaks the rules of the mechanism.
struct Refused : IpcError {
    Refused(std::string_view call, std::string_view why, int error = 0)
        : IpcError("refused", call, error, why) {}

    static Refused too_small(std::string_view call, std::size_t message_bytes,
                             std::size_t buffer_bytes) {
        return {call, fmt::format("a message of {} bytes does not fit a buffer of {}",
                                  message_bytes, buffer_bytes)};
    }
};

/// A limit of the system stands in the way; the message names it, its value, and how to raise it.
struct LimitReached : Refused {
    /// `limit` as a user would look it up, such as "/proc/sys/fs/mqueue/msg_max"; `remedy` a
    /// command or a sentence.
    LimitReached(std::string_view call, std::string_view limit, std::string_view value,
                 std::string_view remedy, int error = 0)
        : Refused(call, fmt::format("{} is {}; {}", limit, value, remedy), error) {}
};

/// This machine cannot do it.
struct Unsupported : IpcError {
    Unsupported(std::string_view call, std::string_view why, int error = 0)
        : IpcError("not possible on this machine", call, error, why) {}
};

/// A system call failed for a reason that is none of the above.
struct SystemError : IpcError {
    SystemError(std::string_view call, int error) : IpcError("failed", call, error) {}
};

/// Throws LimitReached where `error` says that descriptors are used up (EMFILE or
/// ENFILE), else SystemError.
[[noreturn]] void throw_system_error(std::string_view call, int error);

/// Passes a system call's result on, or throws as throw_system_error does: `must(close(fd),
/// "close")`.
template <class Result>
Result must(Result result, std::string_view call) {
    // NOLINTNEXTLINE(performance-no-int-to-ptr): for mmap(2), that is MAP_FAILED
    if (result == Result(-1)) throw_system_error(call, errno);
    return result;
}

}  // namespace ipclab
