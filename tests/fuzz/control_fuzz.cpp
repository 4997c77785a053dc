// What a hostile peer can do on memif's control channel: say anything in any order, with any number
// of descriptors of any kind.
//
// The input says whether we are the server or the client, and then packet by packet what comes, and
// what the peer writes into memory that it has handed over. Descriptors are of real objects: memory
// with and without seals, and what is no memory. Once a connection stands, its rings are used. None
// of the descriptors that came may be left open at the end.
#include "mechanisms/os/shm_object.hpp"
#include "mechanisms/rings/memif/connection.hpp"
#include "mechanisms/rings/memif/handshake.hpp"
#include "tests/fuzz/input.hpp"

#include <algorithm>
#include <fcntl.h>
#include <memory>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <utility>

namespace ipclab::fuzz {
namespace {

using namespace memif;  // NOLINT(google-build-using-namespace)

constexpr std::string_view secret = "abc";

/// What the peer may hand over.
class Objects {
  public:
    struct Shared {
        Fd descriptor;
        Mapping memory;  ///< as the peer sees it
    };

    Objects() {
        memory_.push_back(make_memory(4096, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL));
        memory_.push_back(make_memory(65536, F_SEAL_SHRINK));
        memory_.push_back(make_memory(8192, 0));
        others_.emplace_back(must(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), "eventfd"));
        others_.emplace_back(must(::open("/dev/null", O_RDWR | O_CLOEXEC), "open"));
        others_.emplace_back(must(::open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC), "open"));
    }
    /// A descriptor of the peer's, as it arrives.
    [[nodiscard]] Fd arrive(std::uint8_t which) const {
        const std::size_t index = which % (memory_.size() + others_.size());
        const Fd& sent =
            index < memory_.size() ? memory_[index].descriptor : others_[index - memory_.size()];
        return Fd(must(::fcntl(sent.get(), F_DUPFD_CLOEXEC, 0), "fcntl"));
    }
    void write(Input& input) {
        const Shared& shared = memory_[input.byte() % memory_.size()];
        const std::size_t at = input.take<std::uint16_t>() % shared.memory.size();
        const auto bytes = input.bytes(input.between<std::uint8_t>(1, 64));
        const std::size_t end = size_of(shared.descriptor);
        if (at < end)
            std::memcpy(shared.memory.data() + at, bytes.data(), std::min(bytes.size(), end - at));
    }
    /// Cuts memory off, where no seal forbids it.
    void cut_off(Input& input) {
        const Shared& shared = memory_[input.byte() % memory_.size()];
        static_cast<void>(::ftruncate(shared.descriptor.get(),
                                      input.take<std::uint16_t>() % shared.memory.size()));
    }
    /// Where the handler of SIGBUS says what it did.
    [[nodiscard]] int alarm() const { return others_.front().get(); }
    /// As new, with a ring's beginning wherever one is likely to be looked for.
    void renew() {
        for (const Shared& shared : memory_) {
            if (size_of(shared.descriptor) < shared.memory.size())
                must(::ftruncate(shared.descriptor.get(), static_cast<off_t>(shared.memory.size())),
                     "ftruncate");
            std::memset(shared.memory.data(), 0, shared.memory.size());
            for (std::size_t at = 0; at + sizeof ring_cookie <= shared.memory.size(); at += 32)
                std::memcpy(shared.memory.data() + at, &ring_cookie, sizeof ring_cookie);
        }
    }

  private:
    static Shared make_memory(std::size_t bytes, int seals) {
        Fd descriptor(must(::memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING), "memfd"));
        must(::ftruncate(descriptor.get(), static_cast<off_t>(bytes)), "ftruncate");
        must(::fcntl(descriptor.get(), F_ADD_SEALS, seals), "F_ADD_SEALS");
        Mapping memory(descriptor.get(), bytes);
        return {std::move(descriptor), std::move(memory)};
    }

    std::vector<Shared> memory_;
    std::vector<Fd> others_;
};

void read_all(View bytes) {
    unsigned sum = 0;
    for (const std::byte byte : bytes) sum += std::to_integer<unsigned>(byte);
    const volatile unsigned kept = sum;
    static_cast<void>(kept);
}

/// The number that the next descriptor would have.
int next_descriptor() {
    return Fd(must(::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0), "fcntl")).get();
}

/// A packet as recvmsg(2) may bring it: mostly of the right size, with one descriptor or none.
Packet take_packet(Input& input, const Objects& objects) {
    Packet packet;
    const std::uint8_t how = input.byte();
    const auto type = static_cast<std::uint16_t>((how & 0x80) != 0 ? input.take<std::uint16_t>()
                                                                   : input.byte() % 10);
    std::memcpy(packet.bytes.data(), &type, sizeof type);
    const auto body = input.bytes(input.byte());
    std::memcpy(packet.bytes.data() + sizeof type, body.data(),
                std::min(body.size(), packet.bytes.size() - sizeof type));
    packet.size =
        (how & 0x40) != 0 ? input.take<std::uint16_t>() % (packet.bytes.size() + 1) : message_bytes;
    packet.cut = (how & 0x30) == 0x30;
    packet.descriptors.reserve(3);
    for (unsigned count = how & 3; count > 0; --count)
        packet.descriptors.push_back(objects.arrive(input.byte()));
    return packet;
}

void check_step(const Step& step) {
    using Next = Step::Next;
    const bool disconnects = step.reply && type_of(step.reply->message) == MessageType::disconnect;
    MUST_HOLD(disconnects == (step.next == Next::refuse));
    MUST_HOLD(step.reason.empty() == (step.next != Next::refuse && step.next != Next::end));
    MUST_HOLD(step.next != Next::go_on || step.reply);
    MUST_HOLD(!step.violation || step.next == Next::refuse);
    for (const char letter : step.reason) MUST_HOLD(letter >= ' ' && letter <= '~');
}

/// What an application would do.
void use(Connection& connection, Input& input, Objects& objects) {
    const std::vector<std::byte> packet(300, std::byte{'p'});
    do {
        for (Connection::Receive& queue : connection.receive) {
            while (const auto received = queue.ring.next()) {
                MUST_HOLD(!received->empty() && received->size() <= packet_bytes_max);
                read_all(*received);
            }
            queue.ring.release();
            queue.ring.ask_for_signals(true);
        }
        for (Connection::Transmit& queue : connection.transmit) {
            queue.ring.send(packet);
            queue.ring.publish();
        }
        objects.write(input);
        if (input.byte() % 8 == 7) objects.cut_off(input);
    } while (!input.empty());
}

/// Whether all memory is as large as it is said to be.
bool holds_what_it_says(const Offer& offer) {
    return std::all_of(offer.regions.begin(), offer.regions.end(), [](const OfferedRegion& region) {
        struct stat found {};
        must(::fstat(region.memory.get(), &found), "fstat");
        return static_cast<std::uint64_t>(found.st_size) >= region.bytes;
    });
}

void check_offer(const Offer& offer, const ServerHandshake::Limits& limits) {
    MUST_HOLD(!offer.s2m.empty() && offer.s2m.size() <= limits.queues);
    MUST_HOLD(!offer.m2s.empty() && offer.m2s.size() <= limits.queues);
    std::uint64_t bytes = 0;
    for (const OfferedRegion& region : offer.regions) {
        MUST_HOLD(region.memory && region.bytes > 0 && region.bytes <= limits.region_bytes_max);
        bytes += region.bytes;
    }
    MUST_HOLD(offer.regions.size() <= regions_max && bytes <= limits.region_bytes_max);
    for (const auto* rings : {&offer.s2m, &offer.m2s})
        for (const OfferedRing& ring : *rings) {
            MUST_HOLD(ring.event && ring.region < offer.regions.size());
            MUST_HOLD(ring.log2_ring_size >= 1 && ring.log2_ring_size <= log2_ring_size_max);
            MUST_HOLD(std::uint64_t{ring.offset} + ring_bytes(ring.log2_ring_size) <=
                      offer.regions[ring.region].bytes);
        }
}

void be_server(Input& input, Objects& objects) {
    const std::uint8_t options = input.byte();
    ServerHandshake::Limits limits{.id = 7,
                                   .secret = std::string((options & 1) != 0 ? secret : ""),
                                   .name = "fuzz",
                                   .queues = 3,
                                   .region_bytes_max = std::uint64_t{1} << 20};
    ServerHandshake handshake(limits);
    while (!input.empty()) {
        if (input.byte() % 8 == 0) objects.write(input);
        Step step = handshake.next(take_packet(input, objects), (options & 2) != 0);
        check_step(step);
        MUST_HOLD(step.next != Step::Next::make_memory && step.next != Step::Next::up);
        if (step.next == Step::Next::refuse || step.next == Step::Next::end) return;
        if (step.next != Step::Next::connect) continue;

        MUST_HOLD(type_of(handshake.connected().message) == MessageType::connected);
        Offer offer = handshake.take_offer();
        check_offer(offer, limits);
        const bool is_there = holds_what_it_says(offer);
        try {
            Connection connection(std::move(offer), (options & 4) != 0, objects.alarm());
            MUST_HOLD(is_there);
            use(connection, input, objects);
        } catch (const Refused&) {  // what was handed over is not what it was said to be
        }
        check_step(step_while_up(take_packet(input, objects)));
        return;
    }
}

void be_client(Input& input, Objects& objects) {
    const std::uint8_t options = input.byte();
    const ClientHandshake::Terms wish{.queues = static_cast<std::uint16_t>(1 + options % 3),
                                      .log2_ring_size = 1U + options / 4 % 4};
    ClientHandshake handshake(wish);
    std::unique_ptr<Connection> connection;
    std::size_t sent = 0;
    std::size_t to_send = 0;
    while (!input.empty()) {
        const Packet packet = take_packet(input, objects);
        const Step step = handshake.next(packet);
        check_step(step);
        MUST_HOLD(step.next != Step::Next::connect);
        if (step.next == Step::Next::refuse || step.next == Step::Next::end) return;
        if (step.next == Step::Next::make_memory) {
            MUST_HOLD(!connection);
            const ClientHandshake::Terms& terms = handshake.terms();
            MUST_HOLD(terms.queues >= 1 && terms.queues <= wish.queues);
            MUST_HOLD(terms.log2_ring_size >= 1 && terms.log2_ring_size <= wish.log2_ring_size);
            connection = std::make_unique<Connection>(terms, std::uint16_t{256});
            std::vector<Outgoing> script{{encoded(Init{.id = 7, .secret = {}, .name = {}})}};
            script.insert(script.end(), connection->messages().begin(),
                          connection->messages().end());
            script.push_back({encoded(Connect{})});
            to_send = script.size();
            sent = 1;
            MUST_HOLD(type_of(handshake.start(std::move(script)).message) == MessageType::init);
        } else if (step.next == Step::Next::up) {
            MUST_HOLD(connection && sent == to_send);
            connection->post_buffers();
            use(*connection, input, objects);
            return;
        } else {
            MUST_HOLD(++sent <= to_send);
            MUST_HOLD((type_of(step.reply->message) == MessageType::connect) == (sent == to_send));
        }
    }
}

}  // namespace
}  // namespace ipclab::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace ipclab::fuzz;  // NOLINT(google-build-using-namespace)
    static Objects objects;
    Input input(data, size);
    objects.renew();
    const int before = next_descriptor();
    if (input.byte() % 2 == 0)
        be_server(input, objects);
    else
        be_client(input, objects);
    MUST_HOLD(next_descriptor() == before);
    return 0;
}
