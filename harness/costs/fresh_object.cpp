// A new object for each message: all that a mapping can cost, from the making of the memory to its
// return.
//
// One process plays both sides, one after the other, so that nothing is in the figures but the
// calls: no wake-up, and no cache line that another CPU has. The calls are those of the way of the
// same name.
#include "harness/costs/list.hpp"
#include "harness/costs/touched_pages.hpp"
#include "mechanisms/os/descriptor_passing.hpp"
#include "mechanisms/os/shm_object.hpp"

namespace ipclab {
namespace {

class FreshObject : public Cost {
    static constexpr int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
    enum {
        create,
        map,
        touch,
        pass_on,
        unmap,
        receive,
        map_there,
        touch_there,
        unmap_there,
        close_there
    };

  public:
    explicit FreshObject(std::size_t size_bytes) : bytes_(paged_bytes(size_bytes)) {}

  private:
    void attach(Side side) override {
        if (side != Side::initiator) return;
        admit_memory(bytes_);
        int ends[2];
        must(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), "socketpair");
        here_ = Fd(ends[0]);
        there_ = Fd(ends[1]);
    }

    void pass(Side side, Laps& laps) override {
        if (side != Side::initiator) return;
        send(laps);
        receive_and_free(laps);
    }

    void send(Laps& laps) {
        laps.start();
        Fd object(must(::memfd_create("ipclab", MFD_CLOEXEC | MFD_ALLOW_SEALING), "memfd_create"));
        must(::ftruncate(object.get(), static_cast<off_t>(bytes_)), "ftruncate");
        must(::fcntl(object.get(), F_ADD_SEALS, seals), "fcntl(F_ADD_SEALS)");
        laps.lap(create);
        void* start = must(
            ::mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED, object.get(), 0), "mmap");
        laps.lap(map);
        write_each_page(start, bytes_, page_bytes());
        laps.lap(touch);
        send_descriptor(here_.get(), object.get());
        laps.lap(pass_on);
        must(::munmap(start, bytes_), "munmap");
        object.reset();
        laps.lap(unmap);
    }

    void receive_and_free(Laps& laps) {
        constexpr std::chrono::seconds timeout{1};  // it is there already
        laps.start();
        Fd object = receive_descriptor(there_.get(), timeout);
        if ((must(::fcntl(object.get(), F_GET_SEALS), "fcntl(F_GET_SEALS)") & seals) != seals ||
            size_of(object) != bytes_)
            throw std::logic_error("the object is not the one that was sent");
        laps.lap(receive);
        void* start = must(::mmap(nullptr, bytes_, PROT_READ, MAP_SHARED, object.get(), 0), "mmap");
        laps.lap(map_there);
        read_each_page(start, bytes_, page_bytes());
        laps.lap(touch_there);
        must(::munmap(start, bytes_), "munmap");
        laps.lap(unmap_there);
        object.reset();
        laps.lap(close_there);
    }

    std::size_t bytes_;
    Fd here_;
    Fd there_;
};

}  // namespace

std::vector<CostEntry> fresh_object_costs() {
    return {{{.name = "fresh/object",
              .figures = {{"create", "message"},
                          {"map", "message"},
                          {"touch", "message"},
                          {"pass", "message"},
                          {"unmap", "message"},
                          {"receive", "message"},
                          {"map_there", "message"},
                          {"touch_there", "message"},
                          {"unmap_there", "message"},
                          {"close_there", "message"}},
              .explanation =
                  "The life of an object that serves one message, with both sides played by one "
                  "process. The sender's part: create is memfd_create(2), ftruncate(2) and the "
                  "seals; map its mmap(2); touch writes one word of each page, each of which is "
                  "allocated, zeroed and entered by the fault; pass is the sendmsg(2) of the "
                  "descriptor; unmap the munmap(2) and close(2), after which the object lives in "
                  "the socket alone. The receiver's: receive is the recvmsg(2) and the look at "
                  "seals and size, map_there a "
                  "read-only mmap(2), touch_there a word of each page read, unmap_there the "
                  "munmap(2), and close_there the last close(2), which gives the pages back. It "
                  "leaves out the other words of the message, the wake-up of the receiver, and "
                  "that its CPU may be another one than wrote the pages.",
              .size_bytes_max = transfer_bytes_max},
             [](const CostCell& cell) -> std::unique_ptr<Subject> {
                 return std::make_unique<FreshObject>(cell.size_bytes);
             }}};
}

}  // namespace ipclab
