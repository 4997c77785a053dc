// `ipclab memif respond`: a host that does nothing but answer ARP and ICMP echo requests.
#pragma once

#include "harness/memif/packets.hpp"
#include "mechanisms/rings/memif/interface.hpp"

#include <cstdint>
#include <string>

namespace ipclab {

class Responder {
  public:
    Responder(const Ipv4Address& address, const MacAddress& mac) : address_(address), mac_(mac) {}

    /// Writes the answer to `frame` at the front of `reply`, which has room for frame_bytes_max,
    /// and returns its size; 0 where no answer is due. `frame` is a private copy.
    std::size_t answer(View frame, Bytes reply);

    void reply_had_no_room() { ++no_room_; }
    /// "answered 3 echo requests and 1 ARP request; ..."
    [[nodiscard]] std::string totals() const;

  private:
    Ipv4Address address_;
    MacAddress mac_;
    std::uint64_t arp_ = 0;
    std::uint64_t echo_ = 0;
    std::uint64_t other_ = 0;
    std::uint64_t no_room_ = 0;
};

/// Until SIGINT, SIGTERM or SIGHUP. Returns the exit status.
int run_responder(const memif::Options& options, memif::Mode mode, const Ipv4Address& address,
                  const MacAddress& mac);

}  // namespace ipclab
