// The words behind `ipclab memif`.
#pragma once

#include <CLI/App.hpp>
#include <memory>

namespace ipclab {

class MemifCommands {
  public:
    /// Adds the command to `app`, which must outlive this.
    explicit MemifCommands(CLI::App& app);
    MemifCommands(const MemifCommands&) = delete;
    MemifCommands& operator=(const MemifCommands&) = delete;
    ~MemifCommands();

    [[nodiscard]] bool given() const;
    /// Returns the exit status. Throws std::invalid_argument where words are missing or wrong,
    /// IpcError.
    int run();

  private:
    struct Words;
    CLI::App* command_;
    std::unique_ptr<Words> words_;
};

}  // namespace ipclab
