// The way into the kernel and back, with nothing done there.
#include "harness/costs/list.hpp"

#include <sys/syscall.h>
#include <unistd.h>

namespace ipclab {
namespace {

class SystemCall : public Cost {
    static constexpr int calls_a_pass = 100;

    void pass(Side side, Laps& laps) override {
        if (side != Side::initiator) return;
        const std::int64_t start_ns = now_ns();
        for (int i = 0; i < calls_a_pass; ++i) ::syscall(SYS_getppid);
        laps.note(0, static_cast<double>(now_ns() - start_ns) / calls_a_pass);
    }
};

}  // namespace

std::vector<CostEntry> system_call_costs() {
    return {{{.name = "system-call",
              .figures = {{"call", "call"}},
              .explanation =
                  "Entry into the kernel and return from it, by getppid(2), which looks up one "
                  "number: the mode switch, what guards it against speculation, and the dispatch. "
                  "It leaves out what any real call does, and what the kernel's own data evict "
                  "from the caches."},
             [](const CostCell&) -> std::unique_ptr<Subject> {
                 return std::make_unique<SystemCall>();
             }}};
}

}  // namespace ipclab
