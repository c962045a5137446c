// The keys of exec, serial and iio sources: what this machine runs, and what is plugged into it.
#include "agent/config/schema.h"

namespace rivulet::config::schema {
namespace {

using namespace keys;

constexpr std::uint64_t kMaxFrame = 16 * kMiB;

constexpr Setting kExec[] = {
    text("command", "the program and its arguments; a shell only where one is named: `[sh, -c, \"...\"]`").listed().needed(),
    duration("interval", 10, 365 * kDay, "from run to run, one at a time; absent: it goes on, and is started again when it ends"),
    duration("timeout", 10, 365 * kDay, "with `interval`: a run that takes longer is ended; absent: the interval"),
    duration("kill_after", 10, kMinute, "from SIGTERM to SIGKILL, where it is ended (at the agent's own end 3.5 s at most)").else_("5s"),
    duration("restart", 10, kDay, "without `interval`: the first wait before it is started again; it doubles, with jitter").else_("1s"),
    duration("restart_max", 10, kDay, "the longest wait; who ran for so long begins with the first again").else_("1m"),
    text("directory", "the working directory; absent: the agent's"),
    secret("environment", "variables besides the agent's own").by_name(),
    size("max_line", 64, kMaxFrame, "a longer line is left out, counted").else_("1MiB"),
};
constexpr Setting kSerial[] = {
    text("device", "such as /dev/serial/by-id/usb-...; no other source may have it").needed(),
    word("baud",
         "300 | 600 | 1200 | 1800 | 2400 | 4800 | 9600 | 19200 | 38400 | 57600 | 115200 | 230400 | 460800 | 500000 | 576000 | 921600 | 1000000 | 1152000 | "
         "2000000 | 3000000 | 3500000 | 4000000",
         "bits a second").else_("9600"),
    integer("data_bits", 5, 8, "of each character").else_("8"),
    word("parity", "none | even | odd", "of each character").else_("none"),
    integer("stop_bits", 1, 2, "of each character").else_("1"),
    word("flow_control", "none | hardware | software", "RTS/CTS or XON/XOFF: the device waits while the agent has no room").else_("none"),
    word("framing", "newline | fixed", "a record each line, or so many bytes").else_("newline"),
    text("delimiter", "what ends a line, 1 to 8 bytes such as `\\r` or `\\x03`; after `\\n` a CR before it is cut off, too").else_(R"("\\n")"),
    integer("length", 1, 65'535, "of a fixed frame, its `start` included"),
    text("start", "what each fixed frame begins with, 1 to 16 bytes such as `\\x02`; bytes before it are left out, counted"),
    duration("idle_gap", 1, kMinute, "silence of so long is between frames: the rest of a fixed frame, or of a line that had begun before the port was opened, is left out").else_("100ms").or_word("never"),
    map("poll", serial_poll, "for devices that answer when they are asked"),
    size("max_line", 16, kMiB, "a longer line is left out, counted").else_("4KiB"),
};
constexpr Setting kPoll[] = {
    text("send", "the request, 1 to 256 bytes, with \\r \\n \\t \\0 \\\\ \\xHH").needed(),
    duration("interval", 10, kDay, "from request to request").else_("1s"),
};
constexpr Setting kIio[] = {
    text("device", "an IIO device by its name or label (bme280), or iio:device0; for fields with `channel`"),
    duration("interval", 10, kDay, "from sample to sample").else_("10s"),
    map("fields", iio_field, "the record's fields, a sensor each").by_name().needed(),
    text("root", "where sysfs is").else_("/sys"),
};
constexpr Setting kIioField[] = {
    text("channel", "of the device, without _raw: in_temp, in_voltage0; its driver's scale and offset are applied"),
    text("path", "or a file below `root`, such as class/thermal/thermal_zone0/temp; `*` where a number changes, as in hwmon*"),
    text("scale", "what the value is multiplied by, such as 0.001").else_("1"),
    text("offset", "what is added then").else_("0"),
};

}  // namespace

constinit const Section exec{kExec}, serial{kSerial}, serial_poll{kPoll}, iio{kIio}, iio_field{kIioField};

}  // namespace rivulet::config::schema
