// Credit: how nothing is lost over datagrams that the kernel would drop.
//
// The receiver knows how much room it has, the sender how much it sends. So the receiver grants
// credit, and the sender waits when it has none left. Both count, from the beginning of the
// conversation, in what a datagram costs of the receiver's buffer:
//
//   the receiver grants    what it has consumed + its window
//   the sender may send    while what it has spent + the cost of the next <= what was granted
//
// Grants grow and never shrink, so it does no harm that one overtakes another. Each message carries
// the newest grant of the other direction; a receiver that has nothing to say sends a datagram with
// a grant alone whenever it has consumed half a window. Few of those are under way at a time, since
// each stands for half a window that the peer has spent; they need no credit, but room: the buffer
// is larger than the window by a reserve for them, and by the quarter that the kernel may go on
// charging for what was read already.
//
// Who waits for credit has to read, and may find messages before the grant: when both sides send at
// once, each would else wait for a word that stands in the queue behind what it does not read.
// Those messages are put in an inbox, where `receive` finds them. It stays smaller than the window,
// because they are granted anew only when they are received.
//
// A last datagram says goodbye. A peer that was killed says nothing, and is noticed as the datagram
// mechanism notices it.
#pragma once

#include "mechanisms/mechanism.hpp"
#include "mechanisms/os/patience.hpp"

#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <vector>

namespace ipclab {

/// `M` tells `charge(n)`, what a datagram of n bytes costs of a receive buffer at most;
/// and `datagram_bytes_max`. When asked for a capacity of n bytes it has a receive buffer of n
/// bytes at least. Its endpoints send and receive in two parts (udp.hpp).
template <class M, const Facts& credited_facts>
class Credited {
    enum class Kind : std::uint64_t { message, grant, goodbye };
    struct Head {
        Kind kind;
        std::uint64_t granted;
    };

    /// A window for `messages` of the largest size, and the buffer that it takes.
    struct Window {
        explicit Window(const Needs& needs) {
            constexpr std::size_t most = M::datagram_bytes_max - sizeof(Head);
            const std::size_t wanted = needs.capacity_bytes;
            messages = std::max<std::size_t>(2, (wanted + most - 1) / most);
            message_bytes_max = most;
            if (wanted > 0)
                message_bytes_max = std::min(
                    most, std::max(needs.message_bytes_max, (wanted + messages - 1) / messages));
            cost = messages * cost_of(message_bytes_max);
        }
        [[nodiscard]] std::size_t buffer_bytes() const {
            constexpr std::size_t grants = 8;
            return (cost + grants * cost_of(0)) / 3 * 4 + 4;
        }
        std::size_t messages;  // 2 at least: see below, where half a window is granted anew
        std::size_t message_bytes_max;
        std::size_t cost;
    };

  public:
    class Endpoint {
      public:
        Endpoint(M& datagrams, Role role, const Window& window, std::chrono::milliseconds timeout)
            : peer_(datagrams.attach(role)), window_(window), timeout_(timeout) {
            tell(Kind::grant);
            std::unique_lock lock(mutex_);
            while (granted_ == 0) read_one(lock);
            if (granted_ < window_.cost)
                throw Refused("attach", "the peer has less room: both must ask for the same");
        }
        Endpoint(const Endpoint&) = delete;
        Endpoint& operator=(const Endpoint&) = delete;
        ~Endpoint() { tell(Kind::goodbye); }

        void send(View out) {
            if (out.size() > message_bytes_max())
                throw Refused("send", "a message has to fit the credit of the peer", EMSGSIZE);
            const std::uint64_t cost = cost_of(out.size());
            {
                std::unique_lock lock(mutex_);
                Wait wait("send", timeout_);
                while (spent_ + cost > granted_) {
                    if (peer_left_) throw Closed("send");
                    wait_for_a_datagram(lock, wait);
                }
                spent_ += cost;
            }
            const Head head = newest(Kind::message);
            peer_.send(std::as_bytes(std::span(&head, 1)), out);
        }

        std::size_t receive(Bytes in) {
            std::unique_lock lock(mutex_);
            Wait wait("receive", timeout_);
            std::optional<std::size_t> size;
            while (!size && inbox_.empty()) {
                if (peer_left_) throw Closed("receive");
                size = wait_for_a_datagram(lock, wait, in);
            }
            if (!size) {
                const std::vector<std::byte> message = std::move(inbox_.front());
                inbox_.pop_front();
                size = message.size();
                std::copy_n(message.begin(), std::min(*size, in.size()), in.begin());
            }
            lock.unlock();
            consumed_ += cost_of(*size);
            // What was consumed and not granted again is less than half a window, and so the other
            // half always admits a message of the largest size.
            if (consumed_ + window_.cost - told_ >= window_.cost / 2) tell(Kind::grant);
            if (*size > in.size()) throw Refused::too_small("receive", *size, in.size());
            return *size;
        }

        [[nodiscard]] std::size_t message_bytes_max() const { return window_.message_bytes_max; }
        [[nodiscard]] std::size_t capacity_bytes() const {
            return window_.messages * window_.message_bytes_max;
        }

      private:
        Head newest(Kind kind) {
            const std::uint64_t granted = consumed_ + window_.cost;
            told_ = granted;
            return {kind, granted};
        }
        /// To a peer that may be gone: it will be missed where something is expected of it.
        void tell(Kind kind) {
            const Head head = newest(kind);
            try {
                peer_.send(std::as_bytes(std::span(&head, 1)), {});
            } catch (const IpcError&) {
                return;
            }
        }

        /// One thread reads, for itself and for the other. Returns the size of a message that came
        /// for the caller, into `in`.
        std::optional<std::size_t> wait_for_a_datagram(std::unique_lock<std::mutex>& lock,
                                                       Wait& wait,
                                                       std::optional<Bytes> in = std::nullopt) {
            if (!is_reading_) return read_one(lock, in);
            if (changed_.wait_for(lock, glance_interval) == std::cv_status::timeout) wait.glance();
            return std::nullopt;
        }
        std::optional<std::size_t> read_one(std::unique_lock<std::mutex>& lock,
                                            std::optional<Bytes> in = std::nullopt) {
            if (!in && scratch_.empty()) scratch_.resize(M::datagram_bytes_max);
            const Bytes body = in.value_or(Bytes(scratch_));
            Head head{};
            std::size_t size = 0;
            is_reading_ = true;
            lock.unlock();
            const ReadingEnds when_done{*this, lock};
            size = peer_.receive(std::as_writable_bytes(std::span(&head, 1)), body);
            lock.lock();
            granted_ = std::max(granted_, head.granted);
            if (head.kind == Kind::goodbye) peer_left_ = true;
            if (head.kind != Kind::message) return std::nullopt;
            received_ += cost_of(size);
            if (received_ - consumed_ > window_.cost)
                throw Refused("receive", "the peer sends more than was granted");
            if (in) return size;
            inbox_.emplace_back(body.begin(), body.begin() + static_cast<std::ptrdiff_t>(size));
            return std::nullopt;
        }
        struct ReadingEnds {
            Endpoint& endpoint;
            std::unique_lock<std::mutex>& lock;
            ~ReadingEnds() {
                if (!lock.owns_lock()) lock.lock();
                endpoint.is_reading_ = false;
                endpoint.changed_.notify_all();
            }
        };

        EndpointOf<M> peer_;
        Window window_;
        std::chrono::milliseconds timeout_;

        std::atomic<std::uint64_t> consumed_{0};  // by the receiver
        std::atomic<std::uint64_t> told_{0};      // the last grant that was sent

        std::mutex mutex_;  // of what follows
        std::condition_variable changed_;
        bool is_reading_ = false;
        bool peer_left_ = false;
        std::uint64_t spent_ = 0;
        std::uint64_t granted_ = 0;
        std::uint64_t received_ = 0;
        std::deque<std::vector<std::byte>> inbox_;
        std::vector<std::byte> scratch_;
    };

    static Credited create(const Needs& needs) {
        const Window window(needs);
        return {M::create(with_buffer_for(window, needs)), window, needs.timeout};
    }
    static Credited open(const Address& where, const Needs& needs) {
        const Window window(needs);
        return {M::open(where, with_buffer_for(window, needs)), window, needs.timeout};
    }
    [[nodiscard]] Address address() const { return datagrams_.address(); }

    Endpoint attach(Role role) { return {datagrams_, role, window_, timeout_}; }
    void stand_aside() { ipclab::stand_aside(datagrams_); }

    static constexpr Facts facts = credited_facts;

  private:
    Credited(M datagrams, const Window& window, std::chrono::milliseconds timeout)
        : datagrams_(std::move(datagrams)), window_(window), timeout_(timeout) {}

    static constexpr std::uint64_t cost_of(std::size_t message_bytes) {
        return M::charge(sizeof(Head) + message_bytes);
    }
    static Needs with_buffer_for(const Window& window, Needs needs) {
        needs.capacity_bytes = window.buffer_bytes();
        needs.message_bytes_max = 0;
        return needs;
    }

    M datagrams_;
    Window window_;
    std::chrono::milliseconds timeout_;
};

}  // namespace ipclab
