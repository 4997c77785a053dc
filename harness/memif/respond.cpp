#include "harness/memif/respond.hpp"

#include "harness/memif/port.hpp"

#include <cstdio>
#include <fmt/format.h>
#include <vector>

namespace ipclab {

std::size_t Responder::answer(View frame, Bytes reply) {
    if (const auto arp = parse_arp(frame); arp && arp->request && arp->target == address_) {
        ++arp_;
        return write_arp(reply, arp->sender_mac,
                         {false, mac_, address_, arp->sender_mac, arp->sender});
    }
    if (auto echo = parse_echo(frame);
        echo && echo->request && echo->destination == address_ && echo->destination_mac == mac_) {
        ++echo_;
        echo->request = false;
        echo->destination_mac = echo->source_mac;
        echo->destination = echo->source;
        echo->source_mac = mac_;
        echo->source = address_;
        echo->ttl = IPDEFTTL;
        return write_echo(reply, *echo);
    }
    ++other_;
    return 0;
}

std::string Responder::totals() const {
    return fmt::format("answered {} echo request{} and {} ARP request{}; {} other packet{}; {} "
                       "answer{} dropped for want of room",
                       echo_, echo_ == 1 ? "" : "s", arp_, arp_ == 1 ? "" : "s", other_,
                       other_ == 1 ? "" : "s", no_room_, no_room_ == 1 ? "" : "s");
}

int run_responder(const memif::Options& options, memif::Mode mode, const Ipv4Address& address,
                  const MacAddress& mac) {
    Port port(options, mode);
    PortLoop loop({&port});
    Responder responder(address, mac);
    std::vector<std::byte> reply(frame_bytes_max);
    fmt::print(stderr, "answering for {} at {}; Ctrl-C ends\n", format_ipv4(address),
               format_mac(mac));

    bool any = false;
    while (loop.wait(any ? std::chrono::nanoseconds{} : PortLoop::forever)) {
        any = port.receive([&](std::uint16_t queue, View frame) {
            const std::size_t size = responder.answer(frame, reply);
            // An answer that has no room is lost, as on any network: a ping is sent again.
            if (size > 0 && !port.send(queue, View(reply).first(size)))
                responder.reply_had_no_room();
        });
        if (any) port.flush();
    }
    fmt::print("{}\n", responder.totals());
    return 0;
}

}  // namespace ipclab
