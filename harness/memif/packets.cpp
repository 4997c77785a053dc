#include "harness/memif/packets.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <charconv>
#include <cstring>
#include <fmt/format.h>
#include <iterator>
#include <net/if_arp.h>
#include <netinet/if_ether.h>
#include <stdexcept>

namespace ipclab {
namespace {

static_assert(sizeof(ether_header) == 14 && sizeof(ip) == 20 && sizeof(icmphdr) == 8);
static_assert(arp_frame_bytes == sizeof(ether_header) + sizeof(ether_arp));

/// The header that begins at `offset`; the caller has looked that it is there.
template <class Header>
Header header_at(View bytes, std::size_t offset) {
    Header header;
    std::memcpy(&header, bytes.data() + offset, sizeof header);
    return header;
}

void require_room(Bytes frame, std::size_t needed) {
    if (frame.size() < needed)
        throw std::invalid_argument(
            fmt::format("a frame of {} bytes does not fit a buffer of {}", needed, frame.size()));
}

ether_header ethernet_header(const MacAddress& source, const MacAddress& destination,
                             std::uint16_t type) {
    ether_header header{};
    std::copy(destination.begin(), destination.end(), std::begin(header.ether_dhost));
    std::copy(source.begin(), source.end(), std::begin(header.ether_shost));
    header.ether_type = htons(type);
    return header;
}

std::optional<ether_header> parse_ethernet(View frame, std::uint16_t type) {
    if (frame.size() < sizeof(ether_header)) return std::nullopt;
    const auto header = header_at<ether_header>(frame, 0);
    if (ntohs(header.ether_type) != type) return std::nullopt;
    return header;
}

/// The IPv4 packet without the padding behind it, if it is whole.
std::optional<View> whole_ip_packet(View packet) {
    if (packet.size() < sizeof(ip)) return std::nullopt;
    const auto header = header_at<ip>(packet, 0);
    const std::size_t header_bytes = std::size_t{header.ip_hl} * 4;
    const std::size_t packet_bytes = ntohs(header.ip_len);
    if (header.ip_v != IPVERSION || header_bytes < sizeof(ip) || packet_bytes < header_bytes ||
        packet_bytes > packet.size())
        return std::nullopt;
    if (internet_checksum(packet.first(header_bytes)) != 0) return std::nullopt;
    return packet.first(packet_bytes);
}

}  // namespace

MacAddress parse_mac(std::string_view text) {
    MacAddress address{};
    constexpr std::size_t text_size = 17;
    bool right = text.size() == text_size;
    for (std::size_t i = 0; right && i < address.size(); ++i) {
        const char* const digits = text.data() + 3 * i;
        const auto [stop, error] = std::from_chars(digits, digits + 2, address[i], 16);
        right =
            error == std::errc() && stop == digits + 2 && (i + 1 == address.size() || *stop == ':');
    }
    constexpr std::uint8_t group_bit = 1;
    if (!right || (address[0] & group_bit) != 0 || address == MacAddress{})
        throw std::invalid_argument(
            fmt::format("{:?} is not an interface's address, such as 02:00:0a:00:00:01", text));
    return address;
}

std::string format_mac(const MacAddress& address) {
    return fmt::format("{:02x}", fmt::join(address, ":"));
}

Ipv4Address parse_ipv4(std::string_view text) {
    Ipv4Address address{};
    if (::inet_pton(AF_INET, std::string(text).c_str(), address.data()) != 1)
        throw std::invalid_argument(
            fmt::format("{:?} is not an IPv4 address, such as 10.0.0.1", text));
    return address;
}

std::string format_ipv4(const Ipv4Address& address) {
    return fmt::format("{}", fmt::join(address, "."));
}

MacAddress mac_for(const Ipv4Address& address) {
    constexpr std::uint8_t locally_administered = 2;
    return {locally_administered, 0, address[0], address[1], address[2], address[3]};
}

std::uint16_t internet_checksum(View bytes) {
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < bytes.size(); ++i)
        sum += std::to_integer<std::uint64_t>(bytes[i]) << (i % 2 == 0 ? 8 : 0);
    while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
    return static_cast<std::uint16_t>(~sum);
}

std::optional<Arp> parse_arp(View frame) {
    if (frame.size() < arp_frame_bytes || !parse_ethernet(frame, ETHERTYPE_ARP))
        return std::nullopt;
    const auto header = header_at<ether_arp>(frame, sizeof(ether_header));
    const unsigned operation = ntohs(header.ea_hdr.ar_op);
    if (ntohs(header.ea_hdr.ar_hrd) != ARPHRD_ETHER ||
        ntohs(header.ea_hdr.ar_pro) != ETHERTYPE_IP || header.ea_hdr.ar_hln != ETHER_ADDR_LEN ||
        header.ea_hdr.ar_pln != sizeof(Ipv4Address) ||
        (operation != ARPOP_REQUEST && operation != ARPOP_REPLY))
        return std::nullopt;
    Arp arp;
    arp.request = operation == ARPOP_REQUEST;
    std::copy_n(std::begin(header.arp_sha), arp.sender_mac.size(), arp.sender_mac.begin());
    std::copy_n(std::begin(header.arp_spa), arp.sender.size(), arp.sender.begin());
    std::copy_n(std::begin(header.arp_tha), arp.target_mac.size(), arp.target_mac.begin());
    std::copy_n(std::begin(header.arp_tpa), arp.target.size(), arp.target.begin());
    return arp;
}

std::optional<Echo> parse_echo(View frame) {
    const auto ethernet = parse_ethernet(frame, ETHERTYPE_IP);
    if (!ethernet) return std::nullopt;
    const auto packet = whole_ip_packet(frame.subspan(sizeof(ether_header)));
    if (!packet) return std::nullopt;
    const auto header = header_at<ip>(*packet, 0);
    const bool fragment = (ntohs(header.ip_off) & (IP_MF | IP_OFFMASK)) != 0;
    const View message = packet->subspan(std::size_t{header.ip_hl} * 4);
    if (header.ip_p != IPPROTO_ICMP || fragment || message.size() < sizeof(icmphdr) ||
        internet_checksum(message) != 0)
        return std::nullopt;
    const auto icmp = header_at<icmphdr>(message, 0);
    if ((icmp.type != ICMP_ECHO && icmp.type != ICMP_ECHOREPLY) || icmp.code != 0)
        return std::nullopt;

    Echo echo;
    std::copy_n(std::begin(ethernet->ether_shost), echo.source_mac.size(), echo.source_mac.begin());
    std::copy_n(std::begin(ethernet->ether_dhost), echo.destination_mac.size(),
                echo.destination_mac.begin());
    std::memcpy(echo.source.data(), &header.ip_src, echo.source.size());
    std::memcpy(echo.destination.data(), &header.ip_dst, echo.destination.size());
    echo.ttl = header.ip_ttl;
    echo.request = icmp.type == ICMP_ECHO;
    echo.identifier = ntohs(icmp.un.echo.id);
    echo.sequence = ntohs(icmp.un.echo.sequence);
    echo.data = message.subspan(sizeof(icmphdr));
    return echo;
}

std::size_t write_arp(Bytes frame, const MacAddress& destination, const Arp& arp) {
    require_room(frame, arp_frame_bytes);
    ether_arp header{};
    header.ea_hdr.ar_hrd = htons(ARPHRD_ETHER);
    header.ea_hdr.ar_pro = htons(ETHERTYPE_IP);
    header.ea_hdr.ar_hln = ETHER_ADDR_LEN;
    header.ea_hdr.ar_pln = sizeof(Ipv4Address);
    header.ea_hdr.ar_op = htons(arp.request ? ARPOP_REQUEST : ARPOP_REPLY);
    std::copy(arp.sender_mac.begin(), arp.sender_mac.end(), std::begin(header.arp_sha));
    std::copy(arp.sender.begin(), arp.sender.end(), std::begin(header.arp_spa));
    std::copy(arp.target_mac.begin(), arp.target_mac.end(), std::begin(header.arp_tha));
    std::copy(arp.target.begin(), arp.target.end(), std::begin(header.arp_tpa));
    const ether_header ethernet = ethernet_header(arp.sender_mac, destination, ETHERTYPE_ARP);
    std::memcpy(frame.data(), &ethernet, sizeof ethernet);
    std::memcpy(frame.data() + sizeof ethernet, &header, sizeof header);
    return arp_frame_bytes;
}

std::size_t write_echo(Bytes frame, const Echo& echo) {
    const std::size_t frame_bytes = echo_header_bytes + echo.data.size();
    if (echo.data.size() > echo_data_bytes_max)
        throw std::invalid_argument(fmt::format("{} bytes do not fit an IPv4 packet, {} do",
                                                echo.data.size(), echo_data_bytes_max));
    require_room(frame, frame_bytes);
    const ether_header ethernet =
        ethernet_header(echo.source_mac, echo.destination_mac, ETHERTYPE_IP);
    ip header{};
    header.ip_v = IPVERSION;
    header.ip_hl = sizeof header / 4;
    header.ip_len = htons(static_cast<std::uint16_t>(frame_bytes - sizeof ethernet));
    header.ip_off = htons(IP_DF);
    header.ip_ttl = echo.ttl;
    header.ip_p = IPPROTO_ICMP;
    std::memcpy(&header.ip_src, echo.source.data(), echo.source.size());
    std::memcpy(&header.ip_dst, echo.destination.data(), echo.destination.size());
    header.ip_sum = htons(internet_checksum(std::as_bytes(std::span(&header, 1))));

    icmphdr icmp{};
    icmp.type = echo.request ? ICMP_ECHO : ICMP_ECHOREPLY;
    icmp.un.echo.id = htons(echo.identifier);
    icmp.un.echo.sequence = htons(echo.sequence);

    const Bytes message =
        frame.subspan(sizeof ethernet + sizeof header, sizeof icmp + echo.data.size());
    std::memcpy(frame.data(), &ethernet, sizeof ethernet);
    std::memcpy(frame.data() + sizeof ethernet, &header, sizeof header);
    std::memcpy(message.data(), &icmp, sizeof icmp);
    std::copy(echo.data.begin(), echo.data.end(), message.data() + sizeof icmp);
    icmp.checksum = htons(internet_checksum(message));
    std::memcpy(message.data(), &icmp, sizeof icmp);
    return frame_bytes;
}

}  // namespace ipclab
