// What it costs to give pages to a pipe instead of copying into it.
//
// One process gives pages (vmsplice(2)) and reads them out again, 16 at a time, which is what the
// pipe has slots for. A page that was given must not be written again before it has been read and
// its slot used anew, so each message is made on the pages after the last one's, in a ring that is
// larger than the pipe by a message, as mechanisms/pipes/vmsplice.hpp has it.
#include "mechanisms/pipes/vmsplice.hpp"
#include "harness/costs/kernel_copy.hpp"
#include "harness/costs/list.hpp"

namespace ipclab {
namespace {

/// The pages of one side's messages, and the pipe that they go through.
class GiftedPages {
  public:
    explicit GiftedPages(std::size_t message_bytes) : message_bytes_(message_bytes) {
        int ends[2];
        must(::pipe2(ends, O_CLOEXEC), "pipe2");
        reader_ = Fd(ends[0]);
        writer_ = Fd(ends[1]);
        reading_ = {-1, reader_.get(), slots_bytes()};
    }
    void attach() {
        const Fd memory(must(::memfd_create("ipclab-gift", MFD_CLOEXEC), "memfd_create"));
        const std::size_t ring_bytes = slots_bytes() + std::max(whole_pages(), slots_bytes());
        must(::ftruncate(memory.get(), static_cast<off_t>(ring_bytes)), "ftruncate");
        ring_ = Mapping::mirrored(memory.get(), ring_bytes, 0);
    }

    /// Where to make the next message.
    [[nodiscard]] Bytes room() const {
        return {ring_.data() + next_ + sizeof(Length), message_bytes_};
    }
    void begin(Bytes in) {
        const Length length = message_bytes_;
        std::memcpy(ring_.data() + next_, &length, sizeof length);
        given_ = 0;
        reading_.expect(in);
    }
    void give_round() {
        const iovec pages{ring_.data() + next_ + given_,
                          std::min(sizeof(Length) + message_bytes_ - given_, slots_bytes())};
        given_ +=
            static_cast<std::size_t>(must(::vmsplice(writer_.get(), &pages, 1, 0), "vmsplice"));
    }
    bool read_round() { return reading_.receive_round(); }
    /// The message's pages have left the pipe; the next one begins behind them.
    void end() { next_ = (next_ + whole_pages()) % (ring_.size() / 2); }

  private:
    using Length = FramedStream::Length;

    [[nodiscard]] std::size_t slots_bytes() const { return pipe_bytes(reader_.get()); }
    [[nodiscard]] std::size_t whole_pages() const {
        return round_up(sizeof(Length) + message_bytes_, page_bytes());
    }

    std::size_t message_bytes_;
    Fd reader_;
    Fd writer_;
    StreamWay reading_;
    Mapping ring_;
    std::size_t next_ = 0;
    std::size_t given_ = 0;
};

class PageGift : public Cost {
  public:
    explicit PageGift(const CostCell& cell)
        : size_bytes_(cell.size_bytes),
          ways_{GiftedPages(cell.size_bytes), GiftedPages(cell.size_bytes)} {}

  private:
    enum Figure : std::size_t { fill, give, read, check };

    void attach(Side side) override {
        if (side == Side::responder) return;
        for (GiftedPages& way : ways_) way.attach();
        for (MessageBuffer& buffer : incoming_) buffer.resize(size_bytes_);
    }

    void pass(Side side, Laps& laps) override {
        if (side == Side::responder) return;
        for (const std::size_t i : {0, 1}) carry(ways_[i], incoming_[i].bytes(), laps);
    }

    void carry(GiftedPages& way, Bytes in, Laps& laps) {
        const std::uint64_t sequence = ++last_sent_;
        laps.start();
        payload::fill(way.room(), sequence);
        laps.lap(fill);
        way.begin(in);
        double give_ns = 0;
        double read_ns = 0;
        for (bool whole = false; !whole;) {
            give_ns += time_ns(laps, [&] { way.give_round(); });
            read_ns += time_ns(laps, [&] { whole = way.read_round(); });
        }
        laps.note(give, give_ns);
        laps.note(read, read_ns);
        laps.start();
        const bool good = payload::check(in, sequence);
        laps.lap(check);
        require_payload(good);
        way.end();
    }

    std::size_t size_bytes_;
    std::array<GiftedPages, 2> ways_;
    std::array<MessageBuffer, 2> incoming_;
    std::uint64_t last_sent_ = 0;
};

}  // namespace

std::vector<CostEntry> vmsplice_costs() {
    return {{{.name = "page-gift/vmsplice",
              .figures = {{"fill", "message"},
                          {"give", "message"},
                          {"read", "message"},
                          {"check", "message"}},
              .explanation =
                  "One message whose pages are given to a pipe, 16 at a time, and read out of it "
                  "by the same process. give is vmsplice(2): the call, looking up and pinning each "
                  "page, and entering it in a slot of the pipe, with no byte copied; read is "
                  "readv(2), which makes the only copy and lets go of the pages. fill makes the "
                  "message in shared memory behind its length of 8 bytes, check verifies the copy. "
                  "The figures leave out sleeping and waking, and the true price of a gift: a page "
                  "that was given must not be written again until it has been read, of which no "
                  "call tells. So messages wander through a ring of pages larger than the pipe by "
                  "a message, and fill finds fewer of its lines in the cache.",
              .size_bytes_min = 4096,
              .size_bytes_max = std::size_t{64} << 20},
             [](const CostCell& cell) -> std::unique_ptr<Subject> {
                 return std::make_unique<PageGift>(cell);
             }}};
}

}  // namespace ipclab
