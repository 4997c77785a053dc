// memif's indices and its mask flag under Relacy: see ring_model.hpp.
#include "mechanisms/rings/memif/ring.hpp"

#include "tests/ring_model.hpp"

namespace ipclab::memif {
namespace {

/// An eventfd: a count that is the kernel's, and who sleeps until it is not zero.
class Event {
  public:
    void signal() {
        lock_.lock($);
        count_($) = 1;
        sleepers_.notify_one($);
        lock_.unlock($);
    }
    void wait_and_drain() {
        lock_.lock($);
        while (count_($) == 0) sleepers_.wait(lock_, $);
        count_($) = 0;
        lock_.unlock($);
    }
    void clear() { count_($) = 0; }

  private:
    rl::mutex lock_;
    rl::condition_variable sleepers_;
    rl::var<unsigned> count_;
};

/// When the receiver gives slots back: each by itself, or together and as late as it may.
enum class GivesBack { each, before_it_waits };

/// Four packets through a ring of two slots, so that it is empty and full, and the indices wrap at
/// 2^16. The receiver sleeps when it finds nothing; the sender, whom nobody signals, looks again.
template <SocketRole sends, GivesBack gives_back = GivesBack::each>
struct Conversation : rl::test_suite<Conversation<sends, gives_back>, 2> {
    static constexpr unsigned packets = 4;
    static constexpr unsigned log2_ring_size = 1;
    static constexpr std::uint16_t start = 65'534;
    static constexpr SocketRole receives =
        sends == SocketRole::client ? SocketRole::server : SocketRole::client;
    using Header = RingHeader<ModelAtomics>;

    Header header;
    /// A descriptor and its buffer.
    std::array<rl::var<unsigned>, 2> slots;
    Event event;

    void before() {
        event.clear();
        header.head.store(start, std::memory_order::relaxed);
        header.tail.store(start, std::memory_order::relaxed);
    }
    void thread(unsigned index) {
        if (index == 0)
            send();
        else
            receive();
    }
    void send() {
        SenderIndices<ModelAtomics> indices(header, log2_ring_size, sends, start);
        for (unsigned packet = 0; packet < packets; ++packet) {
            while (indices.room(1) == 0) ModelAtomics::yield();
            RL_ASSERT(indices.room(1) <= 2);
            slots[indices.next() % 2]($) = packet;
            indices.fill(1);
            if (indices.publish()) event.signal();
        }
        RL_ASSERT(!indices.violated());
    }
    void receive() {
        ReceiverIndices<ModelAtomics> indices(header, log2_ring_size, receives, start);
        if (receives == SocketRole::client) indices.release();  // posts empty buffers
        indices.ask_for_signals(false);
        for (unsigned packet = 0; packet < packets; ++packet) {
            await(indices);
            auto& slot = slots[indices.next() % 2];
            RL_ASSERT(slot($) == packet);
            slot($) = packets;  // as who clears the flag of a chain
            indices.consume(1);
            if (gives_back == GivesBack::each) indices.release();
        }
        RL_ASSERT(!indices.violated());
    }
    void await(ReceiverIndices<ModelAtomics>& indices) {
        if (indices.available(1) != 0) return;
        indices.release();
        for (;;) {
            indices.ask_for_signals(true);
            if (indices.available(1) != 0) break;
            event.wait_and_drain();
            if (indices.available(1) != 0) break;
        }
        indices.ask_for_signals(false);
    }
};

// Each side stores its own index, loads the other's, and has a fence between its index, or its
// flag, and what it looks at next.
constexpr int orders = 6;
}  // namespace
}  // namespace ipclab::memif

namespace ipclab {
namespace {
INSTANTIATE_TEST_SUITE_P(
    , RingModel,
    testing::Values(
        Model{"ClientSends", run<memif::Conversation<memif::SocketRole::client>>, memif::orders,
              200'000},
        Model{"ServerSends", run<memif::Conversation<memif::SocketRole::server>>, memif::orders,
              200'000},
        Model{
            "ClientSendsAndIsGivenBackLate",
            run<memif::Conversation<memif::SocketRole::client, memif::GivesBack::before_it_waits>>,
            memif::orders, 200'000},
        Model{
            "ServerSendsAndIsGivenBackLate",
            run<memif::Conversation<memif::SocketRole::server, memif::GivesBack::before_it_waits>>,
            memif::orders, 200'000}),
    name_of_model);
}  // namespace
}  // namespace ipclab
