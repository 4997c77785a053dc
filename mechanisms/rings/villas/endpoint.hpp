// One process's end of a conversation: a direction to write to, and one to read from.
//
// Sender and receiver lend. A loan is a sample out of the pool of the direction that is written to;
// to publish is to push it. The receiver pulls a pointer, reads where it points, and drops its
// reference, which refills the sender's pool.
//
// `vectorize`, as the original calls it, is how many samples are handed over together: they are
// kept back, then pushed one by one, and the bell is rung once. What is kept back is handed over by
// flush, when the pool runs dry (else both sides would wait), and at the end.
#pragma once

#include "mechanisms/mechanism.hpp"
#include "mechanisms/os/patience.hpp"
#include "mechanisms/rings/villas/direction.hpp"

#include <array>

namespace ipclab::villas {

/// `Watch` tells the peer's state, as Presence does.
template <class Watch>
class Endpoint {
    using Ref = DirectionView::Ref;

  public:
    /// `watch` is made by the caller with what it takes to be the only one on this side; what it
    /// stands for ends after everything else here. `vectorize` at least 1.
    Endpoint(DirectionView write, DirectionView read, Watch watch, std::size_t vectorize,
             std::chrono::milliseconds timeout)
        : watch_(std::move(watch)),
          write_(std::move(write)),
          read_(std::move(read)),
          vectorize_(vectorize),
          timeout_(timeout) {
        kept_back_.reserve(vectorize_);
        // Who was here before may have closed it, or died with samples in hand.
        write_.queue().queue().open_again();
        write_.samples().reclaim_own();
        read_.samples().reclaim_own();
    }
    Endpoint(const Endpoint&) = delete;
    Endpoint& operator=(const Endpoint&) = delete;
    /// What is queued can still be read.
    ~Endpoint() {
        try {
            // No bell is rung for the dead: see CondvarBell.
            const bool heard = watch_.peer() == PeerState::here;
            const auto ring = heard ? DirectionView::Samples::Ring::yes  //
                                    : DirectionView::Samples::Ring::no;
            hand_over();
            if (loan_) write_.samples().drop(*loan_, DirectionView::Samples::Ring::no);
            if (taken_) read_.samples().drop(*taken_, ring);
            write_.queue().queue().close();
            if (heard) write_.queue().ring();
        } catch (const IpcError&) {
            // Whoever is left learns it from the watch.
        }
    }

    Bytes loan(std::size_t n) {
        if (n > message_bytes_max())
            throw Refused("loan", fmt::format("a sample holds {} bytes", message_bytes_max()),
                          EMSGSIZE);
        if (!loan_) loan_ = write_.samples().try_get();
        if (!loan_) loan_ = wait_for_a_sample();
        return {loan_->sample->values(), n};
    }
    void publish(std::size_t n) {
        loan_->sample->sequence = sent_++;
        loan_->sample->bytes = n;
        kept_back_.push_back(*loan_);
        loan_.reset();
        if (kept_back_.size() >= vectorize_) flush();
    }
    void flush() {
        if (kept_back_.empty()) return;
        hand_over();
        write_.queue().ring();
    }

    /// The same again, until it is released. Throws Closed once all has been read that a peer has
    /// left.
    View take() {
        if (!taken_) taken_ = wait_for_a_message();
        // The one look at what the peer wrote.
        const std::uint64_t bytes =
            *static_cast<const volatile std::uint64_t*>(&taken_->sample->bytes);
        if (bytes > read_.samples().sample_bytes())
            throw Refused("take", "the peer names a length that a sample cannot hold");
        return {taken_->sample->values(), bytes};
    }
    void release() {
        const Ref ref = *taken_;
        taken_.reset();
        read_.samples().drop(ref);
    }

    /// Another reference to what was taken last, to be read beyond its release and dropped with
    /// read().samples().drop().
    Ref share() { return DirectionView::Samples::share(*taken_); }

    [[nodiscard]] std::size_t message_bytes_max() const { return write_.samples().sample_bytes(); }
    [[nodiscard]] std::size_t capacity_bytes() const {
        return write_.samples().size() * write_.samples().sample_bytes();
    }
    [[nodiscard]] std::size_t publish_every(std::size_t /*message_bytes*/) const {
        return vectorize_;
    }
    /// Samples and how often they were handed over, as the sender; how often the pool was empty.
    [[nodiscard]] std::array<Counter, 3> counters() const {
        return {Counter{"samples", sent_}, Counter{"hand-overs", hand_overs_},
                Counter{"pool-underruns", underruns_}};
    }

    DirectionView& write() { return write_; }
    DirectionView& read() { return read_; }

    /// For the survivor of a peer that died: mends both directions, whose unread samples stay, and
    /// returns how many were brought back from the dead (DirectionView::rebuild). Refused while the
    /// peer lives.
    std::uint64_t recover() {
        if (watch_.peer() != PeerState::died)
            throw Refused("recover", "only of a peer that has died");
        std::vector<Ref> mine = kept_back_;
        if (loan_) mine.push_back(*loan_);
        std::uint64_t found = write_.rebuild(mine);
        mine.clear();
        if (taken_) mine.push_back(*taken_);
        found += read_.rebuild(mine);
        return found;
    }

  private:
    Ref wait_for_a_sample() {
        ++underruns_;
        flush();
        Wait wait("loan", timeout_, &watch_);
        return write_.samples().get([&] { wait.glance(); });
    }
    Ref wait_for_a_message() {
        Wait wait("take", timeout_, &watch_);
        std::byte* item = nullptr;
        if (read_.queue().await(item, [&] { wait.glance(); }) == Outcome::closed)
            throw Closed("take");
        return read_.samples().admit(item);
    }
    void hand_over() {
        if (kept_back_.empty()) return;
        ++hand_overs_;
        for (const Ref& ref : kept_back_) {
            DirectionView::Samples::let_pass(ref);
            if (write_.queue().push(reinterpret_cast<const std::byte*>(ref.sample)) !=
                Outcome::done)
                throw Refused("publish", "the queue has no cell for a sample of its own pool");
        }
        kept_back_.clear();
    }

    Watch watch_;
    DirectionView write_;
    DirectionView read_;
    std::size_t vectorize_;
    std::chrono::milliseconds timeout_;
    // The sender's, and the receiver's: a thread each.
    alignas(64) std::optional<Ref> loan_;
    std::vector<Ref> kept_back_;
    std::uint64_t sent_ = 0;
    std::uint64_t hand_overs_ = 0;
    std::uint64_t underruns_ = 0;
    alignas(64) std::optional<Ref> taken_;
};

}  // namespace ipclab::villas
