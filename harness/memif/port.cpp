#include "harness/memif/port.hpp"

#include "mechanisms/os/error.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <fmt/format.h>
#include <sched.h>
#include <sys/signalfd.h>
#include <utility>

namespace ipclab {

Port::Port(const memif::Options& options, memif::Mode mode)
    : options_(options), mode_(mode), interface_(options), buffer_(buffer_bytes) {
    const bool server = options.role == memif::SocketRole::server;
    fmt::print(stderr, "{}: {} as {}, interface {}\n", options.socket,
               server ? "listening" : "connecting", server ? "server" : "client", options.id);
}

void Port::service() {
    interface_.service();
    const memif::Statistics now = interface_.statistics();
    if (now.disconnections != disconnections_) {
        disconnections_ = now.disconnections;
        // A peer that refuses us will do so again and again: told once.
        if (std::string why = interface_.last_disconnect(); why != told_) {
            fmt::print(stderr, "{}: no connection: {}; {}\n", socket(), why,
                       options_.role == memif::SocketRole::server ? "waiting for the next peer"
                                                                  : "trying again");
            told_ = std::move(why);
        }
    }
    if (now.connections != connections_) {
        connections_ = now.connections;
        if (!connected()) return;  // come and gone
        told_.clear();
        for (std::uint16_t queue = 0; queue < interface_.receive_queues(); ++queue)
            interface_.receive(queue).mode(mode_);
        fmt::print(stderr, "{}: connected to {:?}, {} queue{}\n", socket(), interface_.peer_name(),
                   interface_.queues(), interface_.queues() == 1 ? "" : "s");
    }
}

std::string Port::reason() const {
    if (std::string why = interface_.last_disconnect(); !why.empty()) return why;
    return options_.role == memif::SocketRole::server
               ? fmt::format("nobody has connected to {}", socket())
               : fmt::format("nobody has accepted us at {}", socket());
}

bool Port::send(std::uint16_t queue, View packet) {
    const std::uint16_t queues = interface_.transmit_queues();
    return queues > 0 &&
           interface_.transmit(static_cast<std::uint16_t>(queue % queues)).send(packet);
}

void Port::flush() {
    for (std::uint16_t queue = 0; queue < interface_.transmit_queues(); ++queue)
        interface_.transmit(queue).flush();
}

void Port::watch(std::vector<pollfd>& watched) {
    watched.push_back({interface_.descriptor(), POLLIN, 0});
    // poll(2) ignores -1, a queue without a connection.
    for (std::uint16_t queue = 0; queue < options_.queues; ++queue)
        watched.push_back({mode_ == memif::Mode::interrupt && queue < interface_.receive_queues()
                               ? interface_.receive(queue).descriptor()
                               : -1,
                           POLLIN, 0});
}

std::size_t Port::handle(const pollfd* found) {
    for (std::uint16_t queue = 0; queue < options_.queues; ++queue)
        if (found[1 + queue].revents != 0) interface_.receive(queue).drain();
    if (found[0].revents != 0) service();
    return std::size_t{1} + options_.queues;
}

PortLoop::PortLoop(std::vector<Port*> ports)
    : ports_(std::move(ports)), mode_(ports_.front()->mode()) {
    sigset_t ends{};
    ::sigemptyset(&ends);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP}) ::sigaddset(&ends, signal);
    ::pthread_sigmask(SIG_BLOCK, &ends, &signals_before_);
    stop_ = Fd(must(::signalfd(-1, &ends, SFD_CLOEXEC | SFD_NONBLOCK), "signalfd"));
}

PortLoop::~PortLoop() {
    signalfd_siginfo taken{};
    while (::read(stop_.get(), &taken, sizeof taken) == sizeof taken) {
    }
    ::pthread_sigmask(SIG_SETMASK, &signals_before_, nullptr);
}

bool PortLoop::wait(std::chrono::nanoseconds patience) {
    if (mode_ == memif::Mode::interrupt) {
        look(patience);
        return !stopped_;
    }
    constexpr std::chrono::milliseconds look_interval{1};
    constexpr std::chrono::microseconds spin_time{50};
    const auto now = std::chrono::steady_clock::now();
    if (now >= next_look_) {
        next_look_ = now + look_interval;
        look({});
    }
    if (patience.count() == 0)
        busy_ = now;
    else if (now - busy_ > spin_time)
        ::sched_yield();
    return !stopped_;
}

void PortLoop::look(std::chrono::nanoseconds patience) {
    watched_.clear();
    watched_.push_back({stop_.get(), POLLIN, 0});
    for (Port* port : ports_) port->watch(watched_);
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(patience);
    const timespec timeout{seconds.count(), (patience - seconds).count()};
    if (::ppoll(watched_.data(), watched_.size(), &timeout, nullptr) == -1) {
        if (errno == EINTR) return;
        throw SystemError("ppoll", errno);
    }
    stopped_ = stopped_ || watched_.front().revents != 0;
    std::size_t at = 1;
    for (Port* port : ports_) at += port->handle(&watched_[at]);
}

}  // namespace ipclab
