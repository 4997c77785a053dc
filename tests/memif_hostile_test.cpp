// What a hostile peer of a memif interface can say and write. Whatever it is, the connection ends
// with a text, the violation is counted, nothing crashes and no descriptor stays open.
#include "tests/memif_by_hand.hpp"

#include <atomic>
#include <gmock/gmock.h>
#include <random>

namespace ipclab::memif {
namespace {

using testing::HasSubstr;

class HostileClient : public testing::Test {
  protected:
    void SetUp() override {
        open_the_registry();
        descriptors_ = open_descriptors();
        socket_ = fresh_socket("memif-hostile");
    }
    void TearDown() override {
        peer.reset();
        server.reset();
        EXPECT_EQ(open_descriptors(), descriptors_) << "a descriptor leaked";
    }
    void serve(const std::function<void(Options&)>& adjust = [](Options&) {}) {
        Options options{.socket = socket_};
        adjust(options);
        server.emplace(options);
    }
    void meet(int seals = F_SEAL_SHRINK) { peer.emplace(*server, socket_, seals); }
    void meet_connected() {
        serve();
        meet();
        peer->get_connected();
    }
    /// The peer has just said or done something that is not permitted.
    void expect_thrown_out(std::string_view text, std::uint64_t violations = 1) {
        EXPECT_THAT(peer->text_of_refusal(), HasSubstr(std::string(text)));
        EXPECT_FALSE(server->connected());
        EXPECT_THAT(server->last_disconnect(), HasSubstr(std::string(text)));
        EXPECT_EQ(server->statistics().violations, violations);
    }
    void expect_reception_to_throw_out(std::string_view text) {
        EXPECT_FALSE(server->receive(0).receive(buffer_).has_value());
        EXPECT_FALSE(server->connected());
        expect_thrown_out(text);
    }

    std::string socket_;
    std::optional<Interface> server;
    std::optional<ClientByHand> peer;
    std::array<std::byte, 65'536> buffer_{};

  private:
    std::size_t descriptors_ = 0;
};

// ---------------------------------------------------------------------------------------------
// On the control channel.

TEST_F(HostileClient, IsThrownOutForAMessageOfAnotherLength) {
    for (const std::size_t bytes : {std::size_t{1}, message_bytes - 1, message_bytes + 1,
                                    2 * message_bytes, 4 * message_bytes}) {
        serve();
        meet();
        ASSERT_EQ(peer->answer_type(), MessageType::hello);
        const std::vector<std::byte> message(bytes);
        must(::send(peer->socket().get(), message.data(), message.size(), 0), "send");
        expect_thrown_out("invalid message size");
        server.reset();
    }
}

TEST_F(HostileClient, IsThrownOutForAMessageInTheWrongState) {
    const auto before_init = [&](const Outgoing& message) {
        serve();
        meet();
        ASSERT_EQ(peer->answer_type(), MessageType::hello);
        peer->say(message);
        expect_thrown_out("unexpected message");
        server.reset();
    };
    const Fd something = event();
    before_init({encoded(AddRegion{.index = 0, .bytes = 4096}), something.get()});
    before_init({encoded(ClientByHand::s2m_ring()), something.get()});
    before_init(ClientByHand::connect_message());
    before_init({encoded(Ack{})});
    before_init({encoded(Connected{})});
    before_init({Message{}});
    Message unknown{};
    unknown.fill(std::byte{0xff});
    before_init({unknown});

    serve();
    meet();
    peer->get_as_far_as_init();
    peer->say(ClientByHand::init());
    expect_thrown_out("unexpected message");
    server.reset();

    meet_connected();
    peer->say(ClientByHand::init());
    expect_thrown_out("unexpected message");
}

TEST_F(HostileClient, IsThrownOutForDescriptorsThatAreMissingOrTooMany) {
    const auto after_init = [&](const Outgoing& message, std::string_view text) {
        serve();
        meet();
        peer->get_as_far_as_init();
        peer->say(message);
        expect_thrown_out(text);
        server.reset();
    };
    const Fd something = event();
    after_init({encoded(AddRegion{.index = 0, .bytes = 4096})}, "missing descriptor");
    after_init({encoded(ClientByHand::s2m_ring())}, "missing descriptor");
    after_init({encoded(Connect{}), something.get()}, "unexpected descriptor");

    for (const std::size_t count : {2, 4, 5, 200}) {
        serve();
        meet();
        peer->get_as_far_as_init();
        Message message = peer->add_region().message;
        iovec bytes{message.data(), message.size()};
        std::vector<char> control(CMSG_SPACE(count * sizeof(int)));
        msghdr header{};
        header.msg_iov = &bytes;
        header.msg_iovlen = 1;
        header.msg_control = control.data();
        header.msg_controllen = control.size();
        cmsghdr* const rights = CMSG_FIRSTHDR(&header);
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(count * sizeof(int));
        const std::vector<int> copies(count, something.get());
        std::memcpy(CMSG_DATA(rights), copies.data(), count * sizeof(int));
        must(::sendmsg(peer->socket().get(), &header, 0), "sendmsg");
        expect_thrown_out("descriptor");
        server.reset();
    }
}

TEST_F(HostileClient, IsTurnedAwayForWhatItDoesNotKnow) {
    const auto refused = [&](const Outgoing& init, std::string_view text) {
        serve([](Options& options) {
            options.id = 7;
            options.secret = "open sesame";
        });
        meet();
        ASSERT_EQ(peer->answer_type(), MessageType::hello);
        peer->say(init);
        expect_thrown_out(text, 0);
        server.reset();
    };
    refused(ClientByHand::init(8, "open sesame"), "id not found");
    refused(ClientByHand::init(7), "incorrect secret");
    refused(ClientByHand::init(7, "open sesamE"), "incorrect secret");
    refused(ClientByHand::init(7, "open sesame!"), "incorrect secret");
    refused(ClientByHand::init(7, "open"), "incorrect secret");
    refused(
        {encoded(Init{.version = 0x0201, .id = 7, .secret = Text<24>("open sesame"), .name = {}})},
        "incompatible version");
    refused({encoded(Init{.id = 7, .mode = 1, .secret = Text<24>("open sesame"), .name = {}})},
            "only ethernet mode");
}

TEST_F(HostileClient, IsThrownOutForABadRegion) {
    const auto after_init = [&](const AddRegion& region, std::string_view text) {
        serve([](Options& options) { options.region_bytes_max = 1 << 20; });
        meet();
        peer->get_as_far_as_init();
        peer->say({encoded(region), peer->region.get()});
        expect_thrown_out(text);
        server.reset();
    };
    after_init({1, 4096}, "invalid region index");
    after_init({200, 4096}, "invalid region index");
    after_init({0, 0}, "empty region");
    after_init({0, (1 << 20) + 1}, "regions too large");
    after_init({0, ~std::uint64_t{0}}, "regions too large");

    serve([](Options& options) { options.region_bytes_max = 100'000; });
    meet();
    peer->get_as_far_as_rings();
    peer->say(peer->add_region(1));
    expect_thrown_out("regions too large");
}

TEST_F(HostileClient, IsThrownOutForMemoryThatIsNotWhatItIsSaidToBe) {
    const auto with_region = [&](const Outgoing& region, std::string_view text) {
        peer->get_as_far_as_init();
        peer->get_through(region);
        peer->get_through(peer->add_ring(ClientByHand::s2m_ring()));
        peer->get_through(peer->add_ring(ClientByHand::m2s_ring()));
        peer->say(ClientByHand::connect_message());
        expect_thrown_out(text);
        peer.reset();
        server.reset();
    };
    serve();
    meet();
    with_region(peer->add_region(0, ClientByHand::region_bytes + 1), "larger than its memory");
    serve();
    meet();
    const Fd file(must(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC), "open"));
    with_region({peer->add_region().message, file.get()}, "not shared memory");
    serve();
    meet();
    const Fd nothing = event();
    with_region({peer->add_region().message, nothing.get()}, "not shared memory");
    serve();
    meet(0);
    with_region(peer->add_region(), "not sealed");
    serve();
    meet();
    peer->s2m.header->cookie = 0;
    with_region(peer->add_region(), "wrong cookie");
}

TEST_F(HostileClient, IsThrownOutForABadRing) {
    const auto after_region = [&](const AddRing& ring, std::string_view text) {
        serve();
        meet();
        peer->get_as_far_as_rings();
        peer->say(peer->add_ring(ring));
        expect_thrown_out(text);
        server.reset();
    };
    after_region({1, 1, 0, 0, 3}, "invalid ring index");
    after_region({1, 0xffff, 0, 0, 3}, "invalid ring index");
    after_region({2, 0, 0, 0, 3}, "unknown ring flags");
    after_region({1, 0, 0, 0, 0}, "invalid ring size");
    after_region({1, 0, 0, 0, 15}, "invalid ring size");
    after_region({1, 0, 0, 0, 31}, "invalid ring size");
    after_region({1, 0, 0, 0, 3, 1}, "private headers");

    const auto at_connect = [&](const AddRing& s2m, const AddRing& m2s, std::string_view text) {
        serve();
        meet();
        peer->get_as_far_as_rings();
        peer->get_through(peer->add_ring(s2m));
        peer->get_through(peer->add_ring(m2s));
        peer->say(ClientByHand::connect_message());
        expect_thrown_out(text);
        server.reset();
    };
    const AddRing good = ClientByHand::m2s_ring();
    constexpr auto end = static_cast<std::uint32_t>(ClientByHand::region_bytes);
    at_connect({1, 0, 9, 0, 3}, good, "ring of no region");
    at_connect({1, 0, 256, 0, 3}, good, "ring of no region");
    at_connect({1, 0, 0, end - 248, 3}, good, "ring out of its region");
    at_connect({1, 0, 0, 0xffff'fff8, 3}, good, "ring out of its region");
    at_connect({1, 0, 0, 0, 14}, good, "ring out of its region");
    at_connect({1, 0, 0, 4, 3}, good, "ring misaligned");
    at_connect({1, 0, 0, ClientByHand::m2s_offset, 3}, good, "rings overlap");
    at_connect({1, 0, 0, ClientByHand::m2s_offset - 240, 3}, good, "rings overlap");

    serve();
    meet();
    peer->get_as_far_as_rings();
    peer->get_through(peer->add_ring(ClientByHand::s2m_ring()));
    peer->say(peer->add_ring(ClientByHand::s2m_ring()));
    expect_thrown_out("invalid ring index");
    server.reset();

    serve();
    meet();
    peer->get_as_far_as_rings();
    peer->get_through(peer->add_ring(ClientByHand::s2m_ring()));
    peer->say(ClientByHand::connect_message());
    expect_thrown_out("missing ring");
}

TEST_F(HostileClient, IsNotWaitedForForEver) {
    serve([](Options& options) { options.step_timeout = std::chrono::milliseconds(50); });
    meet();
    ASSERT_EQ(peer->answer_type(), MessageType::hello);
    expect_thrown_out("nothing came in time", 0);
}

TEST_F(HostileClient, CannotKeepOthersOutByConnectingOften) {
    serve([](Options& options) { options.step_timeout = std::chrono::milliseconds(200); });
    std::vector<Fd> silent;
    silent.reserve(8);
    for (int i = 0; i < 8; ++i) silent.push_back(connect(sockets::UnixAddress(socket_)));
    for (int i = 0; i < 10; ++i) server->service();
    meet();
    peer->get_connected();
    EXPECT_TRUE(server->connected());
}

// ---------------------------------------------------------------------------------------------
// In memory.

TEST_F(HostileClient, IsThrownOutForAnIndexThatJumps) {
    for (const unsigned head : {9U, 40'000U, 65'535U}) {
        meet_connected();
        peer->s2m.header->head = static_cast<std::uint16_t>(head);
        expect_reception_to_throw_out("ring index out of bounds");
        server.reset();
    }
    meet_connected();
    peer->m2s.header->head = 9;
    EXPECT_TRUE(server->transmit(0).loan(1).empty());
    expect_thrown_out("ring index out of bounds");
}

TEST_F(HostileClient, IsThrownOutForAnIndexThatGoesBack) {
    meet_connected();
    peer->put(ClientByHand::honest(0));
    peer->put(ClientByHand::honest(1));
    EXPECT_EQ(server->receive(0).receive(buffer_), 100U);
    EXPECT_EQ(server->receive(0).receive(buffer_), 100U);
    peer->s2m.header->head = 1;
    expect_reception_to_throw_out("ring index out of bounds");
}

TEST_F(HostileClient, IsThrownOutForADescriptorThatLies) {
    constexpr auto end = static_cast<std::uint32_t>(ClientByHand::region_bytes);
    const struct {
        Descriptor descriptor;
        std::string_view text;
    } lies[] = {
        {{0, 0, 0, 8192, 0}, "without data"},
        {{0, 0, 65'536, 0, 0}, "too long"},
        {{0, 0, 0xffff'ffff, 0, 0}, "too long"},
        {{0, 1, 100, 8192, 0}, "no region"},
        {{0, 0xffff, 100, 8192, 0}, "no region"},
        {{0, 0, 100, end - 99, 0}, "out of its region"},
        {{0, 0, 1, end, 0}, "out of its region"},
        {{0, 0, 100, 0xffff'ffff, 0}, "out of its region"},
    };
    for (const auto& lie : lies) {
        meet_connected();
        peer->put(lie.descriptor);
        expect_reception_to_throw_out(lie.text);
        server.reset();

        meet_connected();
        peer->post();
        peer->m2s.slots[0] = lie.descriptor;
        const std::array<std::byte, 100> packet{};
        EXPECT_FALSE(server->transmit(0).send(packet));
        expect_thrown_out(lie.text);
        server.reset();
    }
}

TEST_F(HostileClient, IsThrownOutForAChainThatNeverEnds) {
    meet_connected();
    for (std::uint32_t slot = 0; slot < ClientByHand::slot_count; ++slot) {
        Descriptor part = ClientByHand::honest(slot);
        part.flags = flag_next;
        peer->put(part);
    }
    expect_reception_to_throw_out("chain without an end");
}

TEST_F(HostileClient, MayFinishAChainLater) {
    meet_connected();
    Descriptor part = ClientByHand::honest(0);
    part.flags = flag_next;
    peer->put(part);
    EXPECT_FALSE(server->receive(0).receive(buffer_).has_value());
    EXPECT_TRUE(server->connected());
    peer->put(ClientByHand::honest(1));
    EXPECT_EQ(server->receive(0).receive(buffer_), 200U);
    EXPECT_EQ(peer->s2m.slots[0].flags, 0) << "the flag has to be cleared, or it is seen again";
}

TEST_F(HostileClient, CannotMakeASignalOrADrainWait) {
    meet_connected();
    const int shared = peer->event_of_rings().get();  // of both rings
    must(::fcntl(shared, F_SETFL, 0), "fcntl");       // blocking
    server->receive(0).drain();
    peer->post();
    const std::array<std::byte, 10> packet{};
    const std::uint64_t full = ~std::uint64_t{0} - 1;
    must(::write(shared, &full, sizeof full), "write");
    EXPECT_TRUE(server->transmit(0).send(packet));
    server->transmit(0).flush();
    EXPECT_EQ(peer->m2s.header->tail, 1);
}

/// It fills the eventfd and makes it blocking while we signal.
TEST_F(HostileClient, CannotMakeASignalWaitByFillingTheEventfdMeanwhile) {
    constexpr int rounds = 20'000;
    constexpr auto patience = std::chrono::seconds(5);
    meet_connected();
    peer->post();
    const int shared = peer->event_of_rings().get();
    std::atomic<int> begun{0};
    std::atomic<int> signalled{0};
    std::atomic<int> emptied{0};
    int waited_in = 0;
    std::thread filler([&] {
        for (int round = 1; round <= rounds; ++round) {
            while (begun < round) std::this_thread::yield();
            const std::uint64_t full = ~std::uint64_t{0} - 1;
            [[maybe_unused]] const ssize_t wrote = ::write(shared, &full, sizeof full);
            ::fcntl(shared, F_SETFL, 0);
            const auto end = std::chrono::steady_clock::now() + patience;
            while (signalled < round && std::chrono::steady_clock::now() < end)
                std::this_thread::yield();
            if (signalled < round && waited_in == 0) waited_in = round;
            ::fcntl(shared, F_SETFL, O_NONBLOCK);
            eventfd_t count = 0;
            ::eventfd_read(shared, &count);  // lets go of who waits
            emptied = round;
        }
    });
    const std::array<std::byte, 10> packet{};
    for (int round = 1; round <= rounds; ++round) {
        server->transmit(0).send(packet);
        begun = round;
        server->transmit(0).flush();
        signalled = round;
        while (emptied < round) std::this_thread::yield();
        ++peer->m2s.header->head;  // the same buffer again, for a packet as long
    }
    filler.join();
    EXPECT_EQ(waited_in, 0) << "a signal waited for its peer";
    EXPECT_TRUE(server->connected());
    EXPECT_EQ(server->statistics().sent.signals, std::uint64_t{rounds});
}

TEST_F(HostileClient, IsThrownOutForAnEventThatIsNone) {
    std::array<int, 2> pipe{};
    must(::pipe2(pipe.data(), O_CLOEXEC), "pipe2");
    const Fd read_end(pipe[0]);
    const Fd write_end(pipe[1]);
    serve();
    meet();
    peer->get_as_far_as_rings();
    peer->get_through(peer->add_ring(ClientByHand::s2m_ring()));
    peer->get_through({encoded(ClientByHand::m2s_ring()), write_end.get()});
    peer->get_through(ClientByHand::connect_message(), MessageType::connected);
    turn_until(
        *server, [&] { return server->connected(); }, "a connection");
    peer->post();
    EXPECT_TRUE(server->transmit(0).send(View(buffer_).first(10)));
    server->transmit(0).flush();
    expect_thrown_out("no eventfd");
}

TEST_F(HostileClient, MayNotCutOffUnsealedMemory) {
    serve([](Options& options) { options.admit_unsealed_regions = true; });
    meet(0);
    peer->get_connected();
    peer->put(ClientByHand::honest(0));
    EXPECT_EQ(server->receive(0).receive(buffer_), 100U);
    peer->put(ClientByHand::honest(1));
    must(::ftruncate(peer->region.get(), 0), "ftruncate");
    while (server->receive(0).receive(buffer_)) continue;  // would be SIGBUS
    EXPECT_THAT(peer->text_of_refusal(), HasSubstr("region truncated"));
    EXPECT_FALSE(server->connected());
    EXPECT_FALSE(server->receive(0).receive(buffer_).has_value());
    EXPECT_EQ(server->statistics().violations, 1U);
}

/// Whatever is flipped when, each packet comes from within the region, or the peer is thrown out.
TEST_F(HostileClient, MayFlipDescriptorsWhileWeRead) {
    constexpr int rounds = 20;
    std::uint64_t received = 0;
    for (int round = 0; round < rounds; ++round) {
        meet_connected();
        std::atomic<bool> done{false};
        std::thread flipper([&, round] {
            std::mt19937 random(static_cast<unsigned>(round));
            const std::uint32_t lengths[] = {100, 1024, 0, 65'535, 65'536, 0xffff'ffff};
            const std::size_t lies = round % 2 == 0 ? 2 : std::size(lengths);
            while (!done) {
                auto& slots = random() % 2 == 0 ? peer->s2m.slots : peer->m2s.slots;
                volatile Descriptor& slot = slots[random() % ClientByHand::slot_count];
                slot.length = lengths[random() % lies];
                slot.flags = static_cast<std::uint16_t>(random() % 2);
                if (random() % 64 == 0) slot.offset = random() % ClientByHand::region_bytes;
            }
        });
        peer->post();
        for (std::uint32_t i = 0; i < 20'000 && server->connected(); ++i) {
            const std::uint16_t tail = peer->s2m.header->tail;
            if (static_cast<std::uint16_t>(peer->s2m.header->head - tail) <
                ClientByHand::slot_count)
                peer->put(ClientByHand::honest(i % ClientByHand::slot_count));
            if (const auto size = server->receive(0).receive(buffer_)) {
                ++received;
                EXPECT_LE(*size, std::size_t{ClientByHand::slot_count} * slot_bytes_max);
            }
            server->transmit(0).send(View(buffer_).first(1 + i % 3000));
            server->transmit(0).flush();
            peer->m2s.header->head =
                static_cast<std::uint16_t>(peer->m2s.header->tail + ClientByHand::slot_count);
        }
        done = true;
        flipper.join();
        peer.reset();
        server.reset();
    }
    EXPECT_GT(received, 0U);
}

// ---------------------------------------------------------------------------------------------

class HostileServer : public testing::Test {
  protected:
    void SetUp() override {
        open_the_registry();
        descriptors_ = open_descriptors();
        socket_ = fresh_socket("memif-hostile");
        peer.emplace(socket_);
        client.emplace(Options{.socket = socket_, .role = SocketRole::client, .log2_ring_size = 3});
    }
    void TearDown() override {
        client.reset();
        peer.reset();
        EXPECT_EQ(open_descriptors(), descriptors_) << "a descriptor leaked";
    }
    void expect_thrown_out(std::string_view text, std::uint64_t violations = 1) {
        turn_until(
            *client, [&] { return client->last_ending() == Ending::refused; }, "a refusal");
        EXPECT_FALSE(client->connected());
        EXPECT_THAT(client->last_disconnect(), HasSubstr(std::string(text)));
        EXPECT_EQ(client->statistics().violations, violations);
    }

    std::string socket_;
    std::optional<ServerByHand> peer;
    std::optional<Interface> client;
    std::array<std::byte, 65'536> buffer_{};

  private:
    std::size_t descriptors_ = 0;
};

TEST_F(HostileServer, IsRefusedForAnotherVersion) {
    peer->accept_from(*client);
    peer->say(encoded(Hello{.name = {},
                            .min_version = 0x0300,
                            .max_version = 0x0300,
                            .max_region = 0,
                            .max_m2s_ring = 0,
                            .max_s2m_ring = 0,
                            .max_log2_ring_size = 14}));
    expect_thrown_out("incompatible version", 0);
}

TEST_F(HostileServer, IsThrownOutForAMessageInTheWrongState) {
    peer->accept_from(*client);
    peer->say(encoded(Ack{}));
    expect_thrown_out("unexpected message");
}

TEST_F(HostileServer, IsThrownOutForConnectedTooEarly) {
    peer->accept_from(*client);
    peer->say(ServerByHand::hello());
    peer->hear(*client);
    peer->say(encoded(Connected{}));
    expect_thrown_out("unexpected message");
}

TEST_F(HostileServer, IsThrownOutForAnIndexThatJumps) {
    peer->get_connected(*client);
    peer->m2s.header->tail = 9;
    EXPECT_FALSE(client->receive(0).receive(buffer_).has_value());
    expect_thrown_out("ring index out of bounds");
}

TEST_F(HostileServer, IsThrownOutForFreeingWhatWasNotSent) {
    peer->get_connected(*client);
    peer->s2m.header->tail = 1;
    for (int i = 0; i < 8; ++i) client->transmit(0).send(View(buffer_).first(10));
    EXPECT_FALSE(client->transmit(0).send(View(buffer_).first(10)));
    expect_thrown_out("ring index out of bounds");
}

TEST_F(HostileServer, IsThrownOutForMoreThanTheBufferHolds) {
    peer->get_connected(*client);
    peer->m2s.slots[0].length = 2049;
    peer->m2s.header->tail = 1;
    EXPECT_FALSE(client->receive(0).receive(buffer_).has_value());
    expect_thrown_out("longer than its buffer");
}

/// The client knows where its buffers are, and asks nobody.
TEST_F(HostileServer, CannotMoveABuffer) {
    peer->get_connected(*client);
    std::memset(peer->start() + peer->m2s.slots[0].offset, 'x', 10);
    peer->m2s.slots[0] = {0, 7, 10, 0xffff'0000, 0};
    peer->m2s.header->tail = 1;
    ASSERT_EQ(client->receive(0).receive(buffer_), 10U);
    EXPECT_EQ(buffer_[0], std::byte{'x'});
    client->receive(0).release();
    EXPECT_NE(peer->m2s.slots[0].region, 7);
}

TEST_F(HostileServer, MayOfferLess) {
    peer->accept_from(*client);
    peer->say(ServerByHand::hello(0, 1));
    const Packet init = peer->hear(*client);
    EXPECT_EQ(init.size, message_bytes);
    peer->say(encoded(Ack{}));
    peer->hear(*client);  // ADD_REGION
    peer->say(encoded(Ack{}));
    const Packet ring = peer->hear(*client);
    Message message{};
    std::copy_n(ring.bytes.begin(), message.size(), message.begin());
    EXPECT_EQ(body_of<AddRing>(message).log2_ring_size, 1);
}

}  // namespace
}  // namespace ipclab::memif

int main(int argc, char** argv) {
    testing::InitGoogleMock(&argc, argv);
    return RUN_ALL_TESTS();
}
