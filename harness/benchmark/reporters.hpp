// Google Benchmark's reporters, where two processes and Ctrl-C ask for a little more.
#pragma once

#include "harness/session.hpp"

#include <benchmark/benchmark.h>

#include <memory>
#include <vector>

namespace ipclab {

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"  // it works, and a flag asks for it
using CsvReporter = benchmark::CSVReporter;

/// The library's own ends the program at a counter that its first run did not have, as when that
/// was skipped. Given all runs at once, it makes a column for every counter that there is.
class CsvAtTheEnd : public CsvReporter {
  public:
    void ReportRuns(const std::vector<Run>& runs) override {
        runs_.insert(runs_.end(), runs.begin(), runs.end());
    }
    void Finalize() override {
        if (!runs_.empty()) CsvReporter::ReportRuns(runs_);
    }

  private:
    std::vector<Run> runs_;
};
#pragma GCC diagnostic pop

/// What --benchmark_format asks for, on standard output. After Ctrl-C the library still calls every
/// benchmark that is left; nobody wants to see them scroll by as skipped.
class Display : public benchmark::BenchmarkReporter {
  public:
    Display() : reporter_(benchmark::CreateDefaultDisplayReporter()) {
        if (dynamic_cast<CsvReporter*>(reporter_.get()) != nullptr)
            reporter_ = std::make_unique<CsvAtTheEnd>();
    }
    bool ReportContext(const Context& context) override {
        return reporter_->ReportContext(context);
    }
    void ReportRuns(const std::vector<Run>& runs) override {
        if (!interrupted()) reporter_->ReportRuns(runs);
    }
    void Finalize() override { reporter_->Finalize(); }

  private:
    std::unique_ptr<benchmark::BenchmarkReporter> reporter_;
};

}  // namespace ipclab
