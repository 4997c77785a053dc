#include "tests/support/peers.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <stdexcept>

namespace ipclab::test {
namespace {

constexpr const char* as_peer = "--peer";

constexpr std::string_view description_of(Peer peer) {
    switch (peer) {
    case Peer::forked_initiator:
        return "the peer is forked, and the initiator";
    case Peer::forked_responder:
        return "the peer is forked, and the responder";
    case Peer::executed_initiator:
        break;
    }
    return "the peer is executed, and the initiator";
}

}  // namespace

void for_each_peer(const Entry& entry, const std::function<void(Peer)>& test) {
    for (const Peer peer :
         {Peer::forked_initiator, Peer::forked_responder, Peer::executed_initiator}) {
        if (peer == Peer::executed_initiator && !entry.addressed) continue;
        SCOPED_TRACE(description_of(peer));
        test(peer);
        if (testing::Test::HasFailure()) return;
    }
}

Conversation::Conversation(const Entry& entry, Peer kind, const Job& job, const Needs& needs)
    : mine_(kind == Peer::forked_responder ? Side::initiator : Side::responder),
      mechanism_(entry.create(needs)),
      peer_(start(entry, kind, job, needs)) {}

Process Conversation::start(const Entry& entry, Peer kind, const Job& job, const Needs& needs) {
    if (kind == Peer::executed_initiator)
        return Process::executed(
            {own_executable(), as_peer, std::string(entry.facts.name), mechanism_->address().name,
             std::string(job.name), std::to_string(peer_attached_.number()),
             std::to_string(needs.timeout.count()), std::to_string(needs.capacity_bytes)});
    return Process::forked([&] {
        const auto endpoint = mechanism_->attach({other(mine_)});
        peer_attached_.raise();
        job.run(*endpoint, other(mine_));
    });
}

std::optional<int> run_as_peer(const std::vector<std::string>& arguments,
                               const std::vector<Job>& jobs) {
    if (arguments.size() != 8 || arguments[1] != as_peer) return std::nullopt;
    try {
        const Flare attached(std::stoi(arguments[5]));
        Needs needs;
        needs.timeout = std::chrono::milliseconds(std::stol(arguments[6]));
        needs.capacity_bytes = std::stoul(arguments[7]);
        const auto mechanism = entry_of(arguments[2]).open({arguments[3]}, needs);
        const auto endpoint = mechanism->attach({Side::initiator});
        attached.raise();
        for (const Job& job : jobs) {
            if (job.name != arguments[4]) continue;
            job.run(*endpoint, Side::initiator);
            return 0;
        }
        throw std::runtime_error(fmt::format("no job is called {}", arguments[4]));
    } catch (const std::exception& problem) {
        fmt::print(stderr, "in an executed peer: {}\n", problem.what());
        return 1;
    }
}

}  // namespace ipclab::test
