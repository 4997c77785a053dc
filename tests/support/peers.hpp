// The other side of a conversation: a process that was forked and inherits the mechanism, or one
// that was executed and knows nothing but an address.
#pragma once

#include "tests/support/any_mechanism.hpp"
#include "tests/support/process.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ipclab::test {

/// What a peer does once it has attached. Jobs have names, so that an executed peer can be told.
struct Job {
    std::string_view name;
    void (*run)(AnyEndpoint& endpoint, Side mine);
};

enum class Peer { forked_initiator, forked_responder, executed_initiator };

/// Runs `test(peer)` for each kind of peer that the mechanism can have.
void for_each_peer(const Entry& entry, const std::function<void(Peer)>& test);

/// A mechanism, and a peer that attaches to it and does its job.
class Conversation {
  public:
    Conversation(const Entry& entry, Peer kind, const Job& job, const Needs& needs = {});

    std::unique_ptr<AnyEndpoint> attach() { return mechanism_->attach({mine_}); }
    [[nodiscard]] Side mine() const { return mine_; }
    Process& peer() { return peer_; }
    void wait_until_peer_attached() { peer_attached_.wait(); }

  private:
    Process start(const Entry& entry, Peer kind, const Job& job, const Needs& needs);

    Side mine_;
    std::unique_ptr<AnyMechanism> mechanism_;
    Flare peer_attached_;
    Process peer_;
};

/// To be called at the start of main. In an executed peer: does one of `jobs` and returns the exit
/// status; else nothing.
std::optional<int> run_as_peer(const std::vector<std::string>& arguments,
                               const std::vector<Job>& jobs);

}  // namespace ipclab::test
