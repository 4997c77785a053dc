// An endpoint with its type forgotten, for programs that time nothing: `ipclab cat`.
#pragma once

#include "mechanisms/mechanism.hpp"

#include <memory>
#include <string_view>

namespace ipclab {

class Line {
  public:
    Line() = default;
    Line(const Line&) = delete;
    Line& operator=(const Line&) = delete;
    virtual ~Line() = default;  ///< detaches; destroys the object where this process made it

    /// As the endpoint's; what lends is made to copy. One thread may send while another receives.
    virtual void send(View message) = 0;
    virtual std::size_t receive(Bytes buffer) = 0;
    /// The largest message that travels whole.
    [[nodiscard]] virtual std::size_t message_bytes_max() const = 0;
};

enum class LineEnd { listens, calls };

/// Makes the mechanism's object at `needs.address` and attaches as the responder, or opens what is
/// there and attaches as the initiator. `mechanism` may leave out its kind: "villas-queue" is the
/// first of villas-queue/… . Throws IpcError, and std::invalid_argument for a mechanism
/// that is unknown, has no address, or carries no payload.
std::unique_ptr<Line> open_line(std::string_view mechanism, const Needs& needs, LineEnd end);

}  // namespace ipclab
