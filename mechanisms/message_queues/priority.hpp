// How urgent a message is, where the queue puts messages in order.
#pragma once

namespace ipclab {

/// A larger one overtakes a smaller one; equal ones stay in order.
struct Priority {
    unsigned value = 0;
};

}  // namespace ipclab
