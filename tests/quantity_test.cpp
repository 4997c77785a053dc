#include "harness/quantity.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

namespace {

using namespace ipclab;
using namespace std::chrono_literals;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

/// The one line that a parser refuses the text with; "" where it takes it.
template <class Parser>
std::string refusal(Parser parser, std::string_view text) {
    try {
        (void)parser(text);
        return "";
    } catch (const BadQuantity& error) {
        EXPECT_THAT(error.what(), Not(HasSubstr("\n")));
        return error.what();
    }
}

// ---- sizes ----

TEST(ParseSize, ReadsWhatPeopleWrite) {
    EXPECT_EQ(parse_size("1"), 1U);
    EXPECT_EQ(parse_size("7 B"), 7U);
    EXPECT_EQ(parse_size("64B"), 64U);
    EXPECT_EQ(parse_size("4 KiB"), 4096U);
    EXPECT_EQ(parse_size("1MiB"), 1048576U);
    EXPECT_EQ(parse_size("3 GiB"), 3221225472U);
    EXPECT_EQ(parse_size("  12 \t KiB "), 12288U);
    EXPECT_EQ(parse_size("18446744073709551615"), std::numeric_limits<std::uint64_t>::max());
}

TEST(ParseSize, NamesTheUnitThatWasMeant) {
    EXPECT_EQ(refusal(parse_size, "64k"),
              R"("64k": unknown unit "k", nearest is KiB; known: B, KiB, MiB, GiB)");
    EXPECT_THAT(refusal(parse_size, "64 KB"), HasSubstr("nearest is KiB"));
    EXPECT_THAT(refusal(parse_size, "64 kib"), HasSubstr("nearest is KiB"));
    EXPECT_THAT(refusal(parse_size, "1 MB"), HasSubstr("nearest is MiB"));
    EXPECT_THAT(refusal(parse_size, "1 M"), HasSubstr("nearest is MiB"));
    EXPECT_THAT(refusal(parse_size, "2 gb"), HasSubstr("nearest is GiB"));
    EXPECT_THAT(refusal(parse_size, "64 bytes"), HasSubstr("nearest is B"));
    EXPECT_EQ(refusal(parse_size, "3 parsecs"),
              R"("3 parsecs": unknown unit "parsecs"; known: B, KiB, MiB, GiB)");
}

TEST(ParseSize, RefusesZeroNegativeGarbageAndOverflow) {
    EXPECT_EQ(refusal(parse_size, "0"), R"("0": must be at least 1 B)");
    EXPECT_THAT(refusal(parse_size, "0 MiB"), HasSubstr("at least 1 B"));
    EXPECT_THAT(refusal(parse_size, "-4 KiB"), HasSubstr("must be more than 0"));
    EXPECT_THAT(refusal(parse_size, "1.5 KiB"),
                AllOf(HasSubstr("\"1.5\" is not a whole number"), HasSubstr("4 KiB")));
    for (const std::string_view text : {"", " ", "KiB", "+4", "four KiB", "\xff", "0x10", "1 2"})
        EXPECT_NE(refusal(parse_size, text), "") << text;
    EXPECT_NE(refusal(parse_size, "."), "");
    EXPECT_NE(refusal(parse_size, "4 \n KiB"), "");
    EXPECT_THAT(refusal(parse_size, "18446744073709551616"), HasSubstr("64 bits"));
    EXPECT_THAT(refusal(parse_size, "17179869184 GiB"), HasSubstr("64 bits"));
    EXPECT_EQ(parse_size("17179869183 GiB"), 17179869183ULL << 30U);
}

// ---- durations ----

TEST(ParseDuration, ReadsWhatPeopleWrite) {
    EXPECT_EQ(parse_duration("250 ms"), 250ms);
    EXPECT_EQ(parse_duration("60 s"), 60s);
    EXPECT_EQ(parse_duration("2 min"), 2min);
    EXPECT_EQ(parse_duration("40us"), 40us);
    EXPECT_EQ(parse_duration("40 \u00b5s"), 40us);  // micro sign
    EXPECT_EQ(parse_duration("40 \u03bcs"), 40us);  // Greek mu
    EXPECT_EQ(parse_duration("1 ns"), 1ns);
    EXPECT_EQ(parse_duration("0.1 s"), 100ms);
    EXPECT_EQ(parse_duration("1.5min"), 90s);
    EXPECT_EQ(parse_duration("0.001 us"), 1ns);
}

TEST(ParseDuration, NamesTheUnitThatWasMeant) {
    EXPECT_EQ(refusal(parse_duration, "250 msec"),
              R"("250 msec": unknown unit "msec", nearest is ms; known: ns, us, ms, s, min)");
    EXPECT_THAT(refusal(parse_duration, "2 minutes"), HasSubstr("nearest is min"));
    EXPECT_THAT(refusal(parse_duration, "2 seconds"), HasSubstr("nearest is s;"));
    EXPECT_THAT(refusal(parse_duration, "2 MS"), HasSubstr("nearest is ms"));
    EXPECT_THAT(refusal(parse_duration, "2 usec"), HasSubstr("nearest is us"));
    EXPECT_THAT(refusal(parse_duration, "1 h"), Not(HasSubstr("nearest")));
}

TEST(ParseDuration, RefusesZeroNegativeGarbageAndOverflow) {
    EXPECT_EQ(refusal(parse_duration, "250"),
              R"("250": the unit is missing; known: ns, us, ms, s, min)");
    EXPECT_THAT(refusal(parse_duration, "0 s"), HasSubstr("at least 1 ns"));
    EXPECT_THAT(refusal(parse_duration, "0.4 ns"), HasSubstr("at least 1 ns"));
    EXPECT_THAT(refusal(parse_duration, "-1 s"), HasSubstr("must be more than 0"));
    EXPECT_THAT(refusal(parse_duration, "300000000 min"), HasSubstr("292 years"));
    EXPECT_THAT(refusal(parse_duration, std::string(400, '9') + " s"), HasSubstr("too large"));
    for (const std::string_view text :
         {"", "s", "inf s", "nan s", "1.2.3 s", ".5 s", "5. s", "1e3 s"})
        EXPECT_NE(refusal(parse_duration, text), "") << text;
}

// ---- percentages ----

TEST(ParsePercent, GivesAShare) {
    EXPECT_DOUBLE_EQ(parse_percent("5 %"), 0.05);
    EXPECT_DOUBLE_EQ(parse_percent("2.5%"), 0.025);
    EXPECT_DOUBLE_EQ(parse_percent("100 %"), 1);
}

TEST(ParsePercent, RefusesZeroNegativeGarbageAndOverflow) {
    EXPECT_EQ(refusal(parse_percent, "5"), R"("5": the unit is missing; known: %)");
    EXPECT_THAT(refusal(parse_percent, "5 percent"), HasSubstr("known: %"));
    EXPECT_THAT(refusal(parse_percent, "0 %"), HasSubstr("more than 0 %"));
    EXPECT_THAT(refusal(parse_percent, "-5 %"), HasSubstr("more than 0"));
    EXPECT_THAT(refusal(parse_percent, "100.1 %"), HasSubstr("at most 100 %"));
    EXPECT_NE(refusal(parse_percent, "%"), "");
    EXPECT_NE(refusal(parse_percent, "5 % %"), "");
}

// ---- writing ----

TEST(FormatSizeAbout, HasTwoDigits) {
    EXPECT_EQ(format_size_about(48'435), "47 KiB");
    EXPECT_EQ(format_size_about(2'090), "2 KiB");
    EXPECT_EQ(format_size_about(1'363'148), "1.3 MiB");
    EXPECT_EQ(format_size_about(135'000), "130 KiB");
    EXPECT_EQ(format_size_about(1023), "1 KiB");
    EXPECT_EQ(format_size_about(64), "64 B");
    EXPECT_EQ(format_size_about(64.0 * 1024 * 1024), "64 MiB");
}

TEST(FormatSize, UsesTheLargestUnitThatDivides) {
    EXPECT_EQ(format_size(0), "0 B");
    EXPECT_EQ(format_size(64), "64 B");
    EXPECT_EQ(format_size(4096), "4 KiB");
    EXPECT_EQ(format_size(65528), "65528 B");
    EXPECT_EQ(format_size(1048576), "1 MiB");
    EXPECT_EQ(format_size(1048577), "1048577 B");
    EXPECT_EQ(format_size(1536ULL * 1024), "1536 KiB");
    EXPECT_EQ(format_size(1ULL << 40U), "1024 GiB");
}

TEST(FormatSize, IsReadBackUnchanged) {
    for (std::uint64_t size = 2048; size < 1ULL << 62U; size = size * 3 / 2)
        for (const std::uint64_t near : {size - 1, size, size & ~std::uint64_t{1023}})
            EXPECT_EQ(parse_size(format_size(near)), near);
}

TEST(FormatTime, HasThreeSignificantDigits) {
    EXPECT_EQ(format_time_ns(184), "184 ns");
    EXPECT_EQ(format_time_ns(4520), "4.52 µs");
    EXPECT_EQ(format_time_ns(1.2e6), "1.2 ms");
    EXPECT_EQ(format_time_ns(45.678), "45.7 ns");
    EXPECT_EQ(format_time_ns(0.5237), "0.524 ns");
    EXPECT_EQ(format_time_ns(0), "0 ns");
    EXPECT_EQ(format_time_ns(2.5e9), "2.5 s");
    EXPECT_EQ(format_time_ns(12345e9), "12345 s");
    EXPECT_EQ(format_time_ns(-4520), "-4.52 µs");
}

TEST(FormatTime, RoundsBeforeItChoosesTheUnit) {
    EXPECT_EQ(format_time_ns(999.4), "999 ns");
    EXPECT_EQ(format_time_ns(999.5), "1 µs");
    EXPECT_EQ(format_time_ns(999'499), "999 µs");
    EXPECT_EQ(format_time_ns(999'999), "1 ms");
}

TEST(FormatRate, UsesDecimalPrefixes) {
    EXPECT_EQ(format_bytes_per_s(8.51e9), "8.51 GB/s");
    EXPECT_EQ(format_bytes_per_s(512), "512 B/s");
    EXPECT_EQ(format_bytes_per_s(1e3), "1 kB/s");
    EXPECT_EQ(format_bytes_per_s(2e15), "2000 TB/s");
    EXPECT_EQ(format_messages_per_s(12.3e6), "12.3 M/s");
    EXPECT_EQ(format_messages_per_s(950e3), "950 k/s");
    EXPECT_EQ(format_messages_per_s(12), "12 /s");
}

// ---- names ----

TEST(NearestName, FindsWhatWasMeant) {
    const std::vector<std::string> names{"pipe",           "unix-stream",    "posix-mq",
                                         "posix-shm/spin", "spsc-ring/spin", "spsc-ring/futex"};
    EXPECT_EQ(nearest_name("pip", names), "pipe");
    EXPECT_EQ(nearest_name("ppie", names), "pipe");
    EXPECT_EQ(nearest_name("Pipe", names), "pipe");
    EXPECT_EQ(nearest_name("unix_stream", names), "unix-stream");
    EXPECT_EQ(nearest_name("spsc-ring/futx", names), "spsc-ring/futex");
    EXPECT_EQ(nearest_name("spcs-ring/spin", names), "spsc-ring/spin");
    EXPECT_EQ(nearest_name("posix", names), "posix-mq");
    EXPECT_EQ(nearest_name("Futex", names), "spsc-ring/futex");
}

TEST(NearestName, SaysNothingWhenNothingIsNear) {
    const std::vector<std::string> names{"pipe", "unix-stream"};
    EXPECT_EQ(nearest_name("carrier-pigeon", names), std::nullopt);
    EXPECT_EQ(nearest_name("", names), std::nullopt);
    EXPECT_EQ(nearest_name("x", names), std::nullopt);
    EXPECT_EQ(nearest_name("x", {"y"}), std::nullopt);
    EXPECT_EQ(nearest_name("pipe", {}), std::nullopt);
}

TEST(NearestName, OneSlipIsAlwaysNearAndTheFirstOfEqualsWins) {
    EXPECT_EQ(nearest_name("siz", {"seed", "size", "sit"}), "size");
    EXPECT_EQ(nearest_name("bat", {"cat", "hat"}), "cat");
}

}  // namespace
