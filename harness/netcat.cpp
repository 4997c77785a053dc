#include "harness/netcat.hpp"

#include "mechanisms/os/fd.hpp"
#include "mechanisms/os/named_object.hpp"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <fmt/format.h>
#include <future>
#include <poll.h>
#include <sys/eventfd.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace ipclab {
namespace {

/// A peer may come, and say something, whenever it likes.
constexpr std::chrono::hours patience{24 * 365};
constexpr std::size_t chunk_bytes_max = std::size_t{64} << 10;

/// Both directions of one conversation. The end of a stream is a message of no bytes. One more says
/// that all has been received: the caller sends it and leaves; the listener, who made the object
/// and with whom it goes, stays until it has come.
class Netcat {
  public:
    Netcat(Line& line, LineEnd end)
        : line_(line),
          end_(end),
          chunk_bytes_(std::min(line.message_bytes_max(), chunk_bytes_max)),
          stop_reading_(must(::eventfd(0, EFD_CLOEXEC), "eventfd")) {}

    void run() {
        auto outgoing = std::async(std::launch::async, [&] { copy_input_to_peer(); });
        try {
            copy_peer_to_output();
        } catch (...) {
            stop_reading();
            throw;
        }
        // Nobody at a terminal is asked to end an input that the peer no longer waits for.
        if (::isatty(STDIN_FILENO) == 1) stop_reading();
        outgoing.get();
        if (end_ == LineEnd::calls)
            line_.send({});
        else
            await_all_received();
    }

  private:
    void copy_input_to_peer() {
        std::vector<std::byte> chunk(chunk_bytes_);
        while (const std::size_t n = read_input(chunk)) line_.send(View(chunk).first(n));
        line_.send({});
    }
    /// 0 at the end of the input, or when told to stop.
    std::size_t read_input(Bytes chunk) const {
        pollfd watched[] = {{STDIN_FILENO, POLLIN, 0}, {stop_reading_.get(), POLLIN, 0}};
        for (;;) {
            if (::poll(watched, 2, -1) == -1) {
                if (errno == EINTR) continue;
                throw SystemError("poll", errno);
            }
            if (watched[1].revents != 0) return 0;
            const ssize_t got = ::read(STDIN_FILENO, chunk.data(), chunk.size());
            if (got != -1) return static_cast<std::size_t>(got);
            if (errno != EINTR && errno != EAGAIN) throw SystemError("read standard input", errno);
        }
    }
    void stop_reading() const {
        const std::uint64_t one = 1;
        must(::write(stop_reading_.get(), &one, sizeof one), "write");
    }

    void copy_peer_to_output() {
        std::vector<std::byte> chunk(std::max(chunk_bytes_, chunk_bytes_max));
        while (const std::size_t n = line_.receive(chunk)) write_output(View(chunk).first(n));
    }
    void await_all_received() {
        std::vector<std::byte> chunk(std::max(chunk_bytes_, chunk_bytes_max));
        try {
            line_.receive(chunk);
        } catch (const Closed&) {
            // It has left, and so it has received.
        }
    }
    static void write_output(View bytes) {
        while (!bytes.empty()) {
            const ssize_t written = ::write(STDOUT_FILENO, bytes.data(), bytes.size());
            if (written == -1 && errno == EINTR) continue;
            must(written, "write standard output");
            bytes = bytes.subspan(static_cast<std::size_t>(written));
        }
    }

    Line& line_;
    LineEnd end_;
    std::size_t chunk_bytes_;
    Fd stop_reading_;
};

/// Ctrl-C ends a process without its destructors; a thread of its own removes what they would have.
/// To be called before there are other threads: they must leave these signals to it.
void clean_up_when_interrupted() {
    sigset_t ends{};
    ::sigemptyset(&ends);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP}) ::sigaddset(&ends, signal);
    ::pthread_sigmask(SIG_BLOCK, &ends, nullptr);
    std::thread([ends] {
        int signal = 0;
        ::sigwait(&ends, &signal);
        remove_own_objects();
        ::_exit(128 + signal);
    }).detach();
}

/// What is not there, or not whole yet, may be in the making: it is tried again for a moment.
std::unique_ptr<Line> call(const std::string& mechanism, const Needs& needs) {
    constexpr std::chrono::milliseconds moment{200};
    for (const auto start = std::chrono::steady_clock::now();;) {
        try {
            return open_line(mechanism, needs, LineEnd::calls);
        } catch (const IpcError& error) {
            if (std::chrono::steady_clock::now() - start > moment) {
                if (error.error() != ENOENT && error.error() != ECONNREFUSED) throw;
                throw Refused(error.call(),
                              fmt::format("nobody listens at {}; start ipclab cat --listen {} {} "
                                          "first",
                                          needs.address.name, mechanism, needs.address.name),
                              error.error());
            }
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
}

}  // namespace

int run_netcat(const std::string& mechanism, const std::string& address, LineEnd end) {
    clean_up_when_interrupted();
    Needs needs;
    needs.timeout = patience;
    needs.address = {address};
    const std::unique_ptr<Line> line =
        end == LineEnd::listens ? open_line(mechanism, needs, end) : call(mechanism, needs);
    Netcat(*line, end).run();
    return 0;
}

}  // namespace ipclab
