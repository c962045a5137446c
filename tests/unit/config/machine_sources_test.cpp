// exec, serial: what is read of them, and what is refused.
#include <string>

#include "agent/config/config.h"
#include "tests/support/catch.h"

using namespace rivulet::config;

namespace {

Loaded load_source(const std::string& text) { return load_text("agent: {id: a}\nkafka: {brokers: b}\nsources: {s: {" + text + "}}\npipelines: {p: {from: s}}\n", "r.yaml"); }

template <class Type>
Type source(const std::string& text) {
  const Loaded loaded = load_source(text);
  for (const Problem& problem : loaded.problems) UNSCOPED_INFO(problem.text());
  REQUIRE(loaded.ok());
  return std::get<Type>(loaded.config.sources.at(0).type);
}

void refuses(const std::string& text, const std::string& why) {
  const Loaded loaded = load_source(text);
  std::string all;
  for (const Problem& problem : loaded.problems) all += problem.text() + "\n";
  INFO(text);
  CHECK_FALSE(loaded.ok());
  CHECK_THAT(all, ContainsSubstring(why));
}

}  // namespace

TEST_CASE("exec: what is left out is what the struct says") {
  const auto exec = source<ExecSource>("exec: {command: date}");
  const ExecSource standard;
  CHECK(exec.command == std::vector<std::string>{"date"});
  CHECK(exec.interval_ms == standard.interval_ms);
  CHECK(exec.timeout_ms == standard.timeout_ms);
  CHECK(exec.kill_after_ms == standard.kill_after_ms);
  CHECK(exec.restart_ms == standard.restart_ms);
  CHECK(exec.restart_max_ms == standard.restart_max_ms);
  CHECK(exec.max_line_bytes == standard.max_line_bytes);
  CHECK(exec.directory.empty());
}

TEST_CASE("exec: everything that can be said") {
  const auto exec = source<ExecSource>("exec: {command: [vmstat, -n, 1], interval: 10s, timeout: 3s, kill_after: 1s, directory: /tmp, environment: {LANG: C, N: 5}, max_line: 4KiB}, decode: csv");
  CHECK(exec.command == std::vector<std::string>{"vmstat", "-n", "1"});
  CHECK(exec.interval_ms == 10'000);
  CHECK(exec.timeout_ms == 3000);
  CHECK(exec.kill_after_ms == 1000);
  CHECK(exec.directory == "/tmp");
  REQUIRE(exec.environment.size() == 2);
  CHECK(exec.environment[1].first == "N");
  CHECK(exec.environment[1].second.reveal() == "5");
  CHECK(exec.max_line_bytes == 4096);
  CHECK(exec.first_line_names);
  CHECK(source<ExecSource>("exec: {command: date, restart: 10m}").restart_max_ms == 600'000);
}

TEST_CASE("exec: a command line for a shell is refused where no shell is named, and what does not fit together") {
  refuses("exec: {command: 'vmstat 1'}", "no shell takes it apart");
  refuses("exec: {}", "'command' is missing");
  refuses("exec: {command: []}", "is empty");
  refuses("exec: {command: ['', x]}", "is empty");
  refuses("exec: {command: [\"a\\0b\"]}", "NUL byte");
  refuses("exec: {command: date, timeout: 5s}", "goes with 'interval'");
  refuses("exec: {command: date, interval: 5s, restart: 1s}", "go with a command that goes on");
  refuses("exec: {command: date, directory: tmp}", "is no absolute path");
  refuses("exec: {command: date, environment: {'A=B': x}}", "is no name of a variable");
  refuses("exec: {command: date}, decode: cbor", "cbor is bytes");
}

TEST_CASE("serial: what is left out is what the struct says") {
  const auto serial = source<SerialSource>("serial: {device: /dev/ttyS0}");
  const SerialSource standard;
  CHECK(serial.baud == standard.baud);
  CHECK(serial.data_bits == standard.data_bits);
  CHECK(serial.stop_bits == standard.stop_bits);
  CHECK(serial.parity == standard.parity);
  CHECK(serial.flow == standard.flow);
  CHECK(serial.fixed == standard.fixed);
  CHECK(serial.delimiter == standard.delimiter);
  CHECK(serial.idle_gap_ms == standard.idle_gap_ms);
  CHECK(serial.max_line_bytes == standard.max_line_bytes);
  CHECK_FALSE(serial.poll);
  CHECK(source<SerialSource>("serial: {device: /dev/ttyS0, poll: {send: x}}").poll->interval_ms == SerialSource::Poll().interval_ms);
}

TEST_CASE("serial: bytes are written with escapes, by YAML or by rivulet") {
  CHECK(source<SerialSource>("serial: {device: /dev/ttyS0, delimiter: '\\r'}").delimiter == "\r");
  CHECK(source<SerialSource>("serial: {device: /dev/ttyS0, delimiter: \"\\r\"}").delimiter == "\r");
  CHECK(source<SerialSource>("serial: {device: /dev/ttyS0, delimiter: '\\x03\\n'}").delimiter == "\x03\n");
  CHECK(source<SerialSource>("serial: {device: /dev/ttyS0, poll: {send: 'a\\\\\\0\\t\\xfF', interval: 2s}}").poll->send == std::string("a\\\0\t\xff", 5));
  const auto fixed = source<SerialSource>("serial: {device: /dev/ttyS0, framing: fixed, length: 32, start: '\\x42\\x4d', baud: 115200, parity: odd, stop_bits: 2, flow_control: hardware, idle_gap: never}, decode: raw");
  CHECK(fixed.start == "\x42\x4d");
  CHECK(fixed.length == 32);
  CHECK(fixed.baud == 115'200);
  CHECK(fixed.parity == SerialSource::Parity::odd);
  CHECK(fixed.flow == SerialSource::Flow::hardware);
  CHECK(fixed.idle_gap_ms == 0);
}

TEST_CASE("serial: what does not fit together is refused") {
  refuses("serial: {}", "'device' is missing");
  refuses("serial: {device: ttyS0}", "/dev/serial/by-id/");
  refuses("serial: {device: /dev/ttyS0, baud: 9601}", "is not known");
  refuses("serial: {device: /dev/ttyS0, delimiter: '\\q'}", "a backslash that means nothing");
  refuses("serial: {device: /dev/ttyS0, delimiter: '\\x1'}", "a backslash that means nothing");
  refuses("serial: {device: /dev/ttyS0, delimiter: ''}", "has 0 bytes");
  refuses("serial: {device: /dev/ttyS0, framing: fixed}", "without 'length'");
  refuses("serial: {device: /dev/ttyS0, framing: fixed, length: 8, delimiter: x}", "goes with framing: newline");
  refuses("serial: {device: /dev/ttyS0, length: 8}", "goes with framing: fixed");
  refuses("serial: {device: /dev/ttyS0, framing: fixed, length: 2, start: ab}", "'length' counts it, too");
  refuses("serial: {device: /dev/ttyS0, framing: fixed, length: 2, idle_gap: never}", "nothing tells where a fixed frame begins");
  refuses("serial: {device: /dev/ttyS0, poll: {}}", "'send' is missing");
  refuses("serial: {device: /dev/ttyS0}, decode: cbor", "cbor is bytes");
}

TEST_CASE("iio: what is left out is what the struct says, and what can be said") {
  const auto iio = source<IioSource>("iio: {fields: {cpu: {path: /sys/class/thermal/thermal_zone0/temp, scale: 0.001}}}");
  const IioSource standard;
  CHECK(iio.root == standard.root);
  CHECK(iio.interval_ms == standard.interval_ms);
  REQUIRE(iio.fields.size() == 1);
  CHECK(iio.fields[0].path == "class/thermal/thermal_zone0/temp");
  CHECK(iio.fields[0].scale == 0.001);
  CHECK(iio.fields[0].offset == 0);
  const auto device = source<IioSource>("iio: {device: bme280, interval: 1s, root: /tmp/sys/, fields: {t: {channel: in_temp_raw, offset: -40}, h: {channel: in_humidityrelative}, a: {channel: in_accel_x_input}}}");
  CHECK(device.root == "/tmp/sys");
  CHECK(device.fields[0].channel == "in_temp");
  CHECK(device.fields[0].offset == -40);
  CHECK(device.fields[1].channel == "in_humidityrelative");
  CHECK(device.fields[2].channel == "in_accel_x");
}

TEST_CASE("iio: what does not fit together is refused") {
  refuses("iio: {}", "'fields' is missing");
  refuses("iio: {fields: {}}", "is empty");
  refuses("iio: {fields: {t: {channel: in_temp}}}", "'device' is missing");
  refuses("iio: {device: x, fields: {t: {}}}", "neither 'channel' nor 'path'");
  refuses("iio: {device: x, fields: {t: {channel: in_temp, path: a}}}", "'channel' and 'path'");
  refuses("iio: {device: x, fields: {t: {channel: temp}}}", "is no channel");
  refuses("iio: {device: a/b, fields: {t: {channel: in_temp}}}", "is no name of a device");
  refuses("iio: {fields: {t: {path: ../etc/passwd}}}", "leaves /sys");
  refuses("iio: {fields: {t: {path: /etc/passwd}}}", "is no path below /sys");
  refuses("iio: {fields: {t: {path: a, scale: much}}}", "is not a number");
  refuses("iio: {fields: {t: {path: a}}}, decode: raw", "an iio source gives JSON");
}
