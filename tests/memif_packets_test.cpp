// The packets that `ipclab memif respond` and `ping` read and write, against frames written down
// by hand and against damage of every kind.
#include "harness/memif/packets.hpp"

#include <gmock/gmock.h>

#include <initializer_list>
#include <stdexcept>
#include <string>
#include <vector>

namespace ipclab {
namespace {

using Frame = std::vector<std::byte>;

Frame bytes_of(std::initializer_list<unsigned> values) {
    Frame bytes;
    bytes.reserve(values.size());
    for (const unsigned value : values) bytes.push_back(static_cast<std::byte>(value));
    return bytes;
}

const MacAddress alice_mac{0x02, 0, 10, 0, 0, 2};
const MacAddress bob_mac{0x02, 0, 10, 0, 0, 1};
const Ipv4Address alice{10, 0, 0, 2};
const Ipv4Address bob{10, 0, 0, 1};

/// Who has 10.0.0.1? Tell 10.0.0.2.
const Frame arp_request =
    bytes_of({0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02, 0, 10,   0, 0,  2, 0x08, 0x06,
              0,    1,    0x08, 0,    6,    4,    0,    1, 0x02, 0, 10, 0, 0,    2,
              10,   0,    0,    2,    0,    0,    0,    0, 0,    0, 10, 0, 0,    1});

/// An echo request of three bytes, and so with an odd end; both checksums added up by hand.
const Frame echo_request =
    bytes_of({0x02, 0, 10, 0, 0, 1,    0x02, 0,    10,   0,    0,    2,  0x08, 0,    0x45,
              0,    0, 31, 0, 0, 0x40, 0,    64,   1,    0x26, 0xdc, 10, 0,    0,    2,
              10,   0, 0,  1, 8, 0,    0x32, 0x99, 0x12, 0x34, 0,    1,  0x61, 0x31, 0x52});

Echo request_of(View data) {
    Echo echo;
    echo.source_mac = alice_mac;
    echo.destination_mac = bob_mac;
    echo.source = alice;
    echo.destination = bob;
    echo.request = true;
    echo.identifier = 0x1234;
    echo.sequence = 1;
    echo.data = data;
    return echo;
}

Frame frame_of(const Echo& echo) {
    Frame frame(frame_bytes_max);
    frame.resize(write_echo(frame, echo));
    return frame;
}

TEST(Checksum, IsThatOfRfc1071) {
    // The example of section 3: the sum is 0xddf2, and the checksum its complement.
    EXPECT_EQ(internet_checksum(bytes_of({0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7})),
              0x220d);
    EXPECT_EQ(internet_checksum({}), 0xffff);
    EXPECT_EQ(internet_checksum(bytes_of({0xab})), 0xffff - 0xab00) << "an odd byte counts high";
}

TEST(Addresses, AreReadAndWritten) {
    EXPECT_EQ(format_mac(parse_mac("02:00:0a:00:00:01")), "02:00:0a:00:00:01");
    EXPECT_EQ(parse_mac("02:00:0A:00:00:01"), bob_mac);
    EXPECT_EQ(mac_for(bob), bob_mac);
    EXPECT_EQ(format_ipv4(parse_ipv4("192.168.17.254")), "192.168.17.254");
    for (const char* wrong :
         {"", "02:00:0a:00:00", "02:00:0a:00:00:0g", "02-00-0a-00-00-01", "02:00:0a:00:00:011",
          "01:00:5e:00:00:01", "ff:ff:ff:ff:ff:ff", "00:00:00:00:00:00", "+2:00:0a:00:00:01"})
        EXPECT_THROW(parse_mac(wrong), std::invalid_argument) << wrong;
    for (const char* wrong : {"", "10.0.0", "10.0.0.256", "10.0.0.1 ", "localhost"})
        EXPECT_THROW(parse_ipv4(wrong), std::invalid_argument) << wrong;
}

TEST(ArpPacket, IsReadAndWritten) {
    const auto arp = parse_arp(arp_request);
    ASSERT_TRUE(arp);
    EXPECT_TRUE(arp->request);
    EXPECT_EQ(arp->sender_mac, alice_mac);
    EXPECT_EQ(arp->sender, alice);
    EXPECT_EQ(arp->target, bob);
    Frame written(arp_frame_bytes);
    EXPECT_EQ(write_arp(written, mac_broadcast, *arp), arp_frame_bytes);
    EXPECT_EQ(written, arp_request);
}

TEST(ArpPacket, ThatIsCutOrForAnotherProtocolIsNone) {
    for (std::size_t size = 0; size < arp_request.size(); ++size)
        EXPECT_FALSE(parse_arp(View(arp_request).first(size))) << size;
    for (const std::size_t field : {12U, 14U, 16U, 18U, 19U, 20U}) {
        Frame other = arp_request;
        other[field] ^= std::byte{0x10};
        EXPECT_FALSE(parse_arp(other)) << "byte " << field;
    }
    EXPECT_FALSE(parse_arp(echo_request));
}

TEST(EchoPacket, IsReadAndWritten) {
    const auto echo = parse_echo(echo_request);
    ASSERT_TRUE(echo);
    EXPECT_TRUE(echo->request);
    EXPECT_EQ(echo->source_mac, alice_mac);
    EXPECT_EQ(echo->destination_mac, bob_mac);
    EXPECT_EQ(echo->source, alice);
    EXPECT_EQ(echo->destination, bob);
    EXPECT_EQ(echo->ttl, 64);
    EXPECT_EQ(echo->identifier, 0x1234);
    EXPECT_EQ(echo->sequence, 1);
    EXPECT_THAT(echo->data,
                testing::ElementsAre(std::byte{0x61}, std::byte{0x31}, std::byte{0x52}));
    EXPECT_EQ(frame_of(*echo), echo_request);
}

TEST(EchoPacket, OfEverySizeComesBack) {
    for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{56},
                                   std::size_t{1471}, std::size_t{5000}, echo_data_bytes_max}) {
        const Frame data(size, std::byte{0xa5});
        const Frame frame = frame_of(request_of(data));
        const auto echo = parse_echo(frame);
        ASSERT_TRUE(echo) << size;
        EXPECT_TRUE(std::equal(data.begin(), data.end(), echo->data.begin(), echo->data.end()));
    }
    Frame frame(frame_bytes_max + 1);
    EXPECT_THROW(write_echo(frame, request_of(Frame(echo_data_bytes_max + 1))),
                 std::invalid_argument);
    EXPECT_THROW(write_echo(Bytes(frame).first(50), request_of(Frame(9))), std::invalid_argument);
}

TEST(EchoPacket, MayBePadded) {
    Frame padded = echo_request;
    padded.resize(60);
    const auto echo = parse_echo(padded);
    ASSERT_TRUE(echo);
    EXPECT_EQ(echo->data.size(), 3U);
}

TEST(EchoPacket, MayHaveOptionsInItsIpHeader) {
    Frame frame = echo_request;
    frame.insert(frame.begin() + 34, 4, std::byte{1});  // four times "no operation"
    frame[14] = std::byte{0x46};
    frame[17] = std::byte{35};
    frame[24] = frame[25] = std::byte{0};
    const std::uint16_t sum = internet_checksum(View(frame).subspan(14, 24));
    frame[24] = static_cast<std::byte>(sum >> 8);
    frame[25] = static_cast<std::byte>(sum & 0xff);
    const auto echo = parse_echo(frame);
    ASSERT_TRUE(echo);
    EXPECT_EQ(echo->data.size(), 3U);
}

TEST(EchoPacket, ThatIsCutIsNone) {
    for (std::size_t size = 0; size < echo_request.size(); ++size) {
        // A copy of exactly that size, so that a sanitizer sees a read beyond it.
        const Frame cut(echo_request.begin(),
                        echo_request.begin() + static_cast<std::ptrdiff_t>(size));
        EXPECT_FALSE(parse_echo(cut)) << size;
    }
}

TEST(EchoPacket, WithAnyBitFlippedBehindTheEthernetHeaderIsNone) {
    for (std::size_t bit = 8 * sizeof(ether_header); bit < 8 * echo_request.size(); ++bit) {
        Frame damaged = echo_request;
        damaged[bit / 8] ^= std::byte(1U << bit % 8);
        EXPECT_FALSE(parse_echo(damaged)) << "bit " << bit;
    }
}

/// With right checksums, so that only the check in question can refuse it.
TEST(EchoPacket, ThatIsAFragmentIsNone) {
    for (const unsigned offset_field : {0x2000U, 0x0001U, 0x1fffU}) {
        Frame frame = echo_request;
        frame[20] = static_cast<std::byte>(offset_field >> 8);
        frame[21] = static_cast<std::byte>(offset_field & 0xff);
        frame[24] = frame[25] = std::byte{0};
        const std::uint16_t sum = internet_checksum(View(frame).subspan(14, 20));
        frame[24] = static_cast<std::byte>(sum >> 8);
        frame[25] = static_cast<std::byte>(sum & 0xff);
        EXPECT_FALSE(parse_echo(frame)) << offset_field;
    }
}

}  // namespace
}  // namespace ipclab
