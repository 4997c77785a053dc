// What it costs to copy a message into the kernel, and out of it, when nobody has to wait.
//
// A transfer through a pipe, a socket or a queue is two copies, with sleeping and waking around
// them. Here only the copies are left: rounds of what the object holds go in and come out
// (conduit.hpp). On one CPU a single process does it all. On two, one process writes and the other
// reads, by turns and wide awake, so that what was written has to travel between their caches.
#include "harness/costs/kernel_copy.hpp"

#include "harness/costs/list.hpp"

namespace ipclab {
namespace {

constexpr std::size_t size_bytes_max = std::size_t{64} << 20;

template <class Conduit>
CostEntry entry(std::string_view name, std::string_view explanation) {
    return {{.name = std::string(name),
             .figures = {{"fill", "message"},
                         {"copy_in", "message"},
                         {"copy_out", "message"},
                         {"check", "message"}},
             .explanation = explanation,
             .size_bytes_min = 1,
             .size_bytes_max = size_bytes_max,
             .placements = {Placement::same_cpu, Placement::two_cpus}},
            [](const CostCell& cell) -> std::unique_ptr<Subject> {
                return std::make_unique<KernelCopy<Conduit>>(cell);
            }};
}

}  // namespace

std::vector<CostEntry> kernel_copy_costs() {
    return {
        entry<PipeConduit>(
            "kernel-copy/pipe",
            "One message through a pipe, 64 KiB at a time (16 pages, which the 8 bytes of the "
            "length share with the payload). copy_in is writev(2): the call, taking pages for the "
            "pipe, and copying length and payload into them; copy_out is readv(2): the call, "
            "copying out, and giving the pages back; each is the sum over the message's rounds. "
            "fill and check make and verify the payload in private memory, beside as many other "
            "buffers as the two processes of a conversation have. On one CPU a single process does "
            "everything; on two, one writes and the other reads by turns, so copy_out fetches the "
            "pipe's pages from the other CPU's cache. Left out: sleeping and waking, since nobody "
            "finds the pipe full or empty; and where the real writer sleeps inside one call, there "
            "is a call for each round here."),
        entry<UnixStreamConduit>(
            "kernel-copy/unix-stream",
            "One message through a Unix stream socket, as much at a time as its send buffer "
            "admits. copy_in is writev(2) of length and payload: the call, allocating buffers of "
            "up to 32 KiB and more, copying into them, and hanging them on the peer's queue; "
            "copy_out is readv(2): the call, copying out, and freeing the buffers. fill, check, "
            "and who does what on one CPU and on two, are as for kernel-copy/pipe. Left out: "
            "sleeping and waking, and how much smaller the rounds are when the writer is woken "
            "before the reader has taken everything."),
        entry<SysvMqConduit>(
            "kernel-copy/sysv-mq",
            "One message through a System V queue, in fragments of kernel.msgmax (8 KiB), as many "
            "at a time as the queue holds (two). copy_in holds msgsnd(2) and the copy before it, "
            "in user space, that puts the type in front of the text; copy_out holds msgrcv(2) and "
            "the copy from behind the type to where the message is wanted; a first fragment is "
            "copied once more on either side, to add and take off the length. So four copies and "
            "more stand in these two figures, beside the calls and the allocation of a message of "
            "up to three linked pages. fill, check and placements are as for kernel-copy/pipe. "
            "Left out: sleeping and waking, and handing a message directly to a sleeping "
            "receiver."),
        entry<PosixMqConduit>(
            "kernel-copy/posix-mq",
            "One message through a POSIX queue, in fragments of msgsize_max (8 KiB), as many at a "
            "time as the queue holds (msg_max, ten). copy_in holds mq_send(3): the call, "
            "allocating a message of linked pages, copying into it, and entering it in the tree of "
            "priorities; copy_out holds mq_receive(3): taking it out, copying, freeing. The first "
            "fragment, and a last one that is not full, are copied once more in user space, as "
            "Rounds does. fill, check and placements are as for kernel-copy/pipe. Left out: "
            "sleeping and waking, and handing a message directly to a sleeping receiver, which "
            "spares it the queue."),
        entry<TcpConduit>(
            "kernel-copy/tcp",
            "One message through a loopback TCP connection with TCP_NODELAY, about 200 KiB at a "
            "time. copy_in is writev(2): the call, copying into segments, and, since loopback "
            "delivers at once, the whole way of the segments through IP and through the "
            "receiver's half of the protocol, in the sender's time; copy_out is readv(2): the "
            "call, copying out, and sending acknowledgements, which the sender's half takes in "
            "the receiver's time. A wait for a segment or an acknowledgement that is still under "
            "way counts. fill, check and placements are as for kernel-copy/pipe. Left out: "
            "sleeping and waking."),
    };
}

}  // namespace ipclab
