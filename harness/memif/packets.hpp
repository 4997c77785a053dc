// Ethernet, ARP, IPv4 and ICMP echo: as much of them as it takes to answer a ping, and to ping.
//
// What comes from a peer is parsed on a private copy: in shared memory a length could change
// between its check and its use.
#pragma once

#include "mechanisms/mechanism.hpp"

#include <array>
#include <cstdint>
#include <net/ethernet.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <optional>
#include <string>
#include <string_view>

namespace ipclab {

using MacAddress = std::array<std::uint8_t, ETHER_ADDR_LEN>;
constexpr MacAddress mac_broadcast{0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

/// Four bytes as they cross the wire.
using Ipv4Address = std::array<std::uint8_t, 4>;

/// "02:00:0a:00:00:01". Throws std::invalid_argument; group addresses are refused: no interface
/// has one.
MacAddress parse_mac(std::string_view text);
std::string format_mac(const MacAddress& address);
/// "10.0.0.1". Throws std::invalid_argument.
Ipv4Address parse_ipv4(std::string_view text);
std::string format_ipv4(const Ipv4Address& address);
/// A locally administered address with the four bytes in it: unique where those are.
MacAddress mac_for(const Ipv4Address& address);

/// The ones' complement of the ones' complement sum of all 16-bit words, an odd last byte filled
/// up with zero (RFC 1071); 0 over what includes its own right checksum.
std::uint16_t internet_checksum(View bytes);

/// An ARP packet for IPv4 over Ethernet (RFC 826).
struct Arp {
    bool request = false;  ///< else a reply
    MacAddress sender_mac{};
    Ipv4Address sender{};
    MacAddress target_mac{};
    Ipv4Address target{};
};

/// An ICMP echo request or reply (RFC 792) in one unfragmented IPv4 packet.
struct Echo {
    MacAddress source_mac{};
    MacAddress destination_mac{};
    Ipv4Address source{};
    Ipv4Address destination{};
    std::uint8_t ttl = IPDEFTTL;
    bool request = false;  ///< else a reply
    std::uint16_t identifier = 0;
    std::uint16_t sequence = 0;
    View data;  ///< lies in the frame that was parsed
};

constexpr std::size_t arp_frame_bytes = 42;
constexpr std::size_t echo_header_bytes = sizeof(ether_header) + sizeof(ip) + sizeof(icmphdr);
/// What the length field of IPv4 leaves to the data.
constexpr std::size_t echo_data_bytes_max = IP_MAXPACKET - sizeof(ip) - sizeof(icmphdr);
constexpr std::size_t frame_bytes_max = sizeof(ether_header) + IP_MAXPACKET;

/// Nothing where the frame holds none, or one that is cut short.
std::optional<Arp> parse_arp(View frame);
/// Nothing where the frame holds none, or one that is cut short, a fragment, or not what its
/// checksums say. What follows the IPv4 packet (padding to 60 bytes) does not count.
std::optional<Echo> parse_echo(View frame);

/// Both write a frame from `source` to `destination` at the front of `frame`, and return its size.
/// Throw std::invalid_argument where it does not fit.
std::size_t write_arp(Bytes frame, const MacAddress& destination, const Arp& arp);
std::size_t write_echo(Bytes frame, const Echo& echo);

}  // namespace ipclab
