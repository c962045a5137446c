#include "agent/source/factory.h"

#include <boost/asio/io_context.hpp>

#include "tests/support/catch.h"
#include "tests/support/fake_intake.h"

using namespace rivulet;

TEST_CASE("factory: every type of source can be made, and says what it guarantees") {
  boost::asio::io_context io;
  test::FakeIntake intake;
  config::Source source;
  source.name = "s";
  const auto says = [&](const char* promise) {
    CHECK(source::make_source(io, source, "agent", intake) != nullptr);
    CHECK_THAT(source::guarantee(source), ContainsSubstring(promise));
  };
  config::TcpSource tcp;
  source.type = tcp;
  says("at most once");
  tcp.acknowledge = true;
  source.type = tcp;
  says("exactly once for a client that says HELLO");
  source.type = config::FileSource{"/nowhere/app.log", false, 1000, 10};
  says("exactly once from the file");
  config::UdpSource udp;
  udp.listen_host = "127.0.0.1";
  source.type = udp;
  says("at most once");
  config::ModbusSource modbus;
  modbus.buses = {{std::nullopt, "10.0.0.1", 502}, {std::nullopt, "10.0.0.2", 502}};
  modbus.slaves = {{"a", 0, 1}, {"b", 0, 2}, {"c", 1, 1}};
  source.type = modbus;
  says("at most once");
  says("connection 10.0.0.1:502, a thread: a, b. They wait for each other");
  says("a slave that is slow or dead delays none that has another connection");
  config::CanSource can;
  can.interface = "can0";
  source.type = can;
  says("at most once");
  source.type = config::StdinSource{};
  says("at most once");
  config::ExecSource exec;
  exec.command = {"true"};
  source.type = exec;
  says("at most once");
  exec.interval_ms = 1000;
  source.type = exec;
  says("without a half line");
  config::SerialSource serial;
  serial.device = "/dev/nowhere";
  source.type = serial;
  says("at most once");
  config::IioSource iio;
  iio.fields = {{"temperature", "", "class/thermal/thermal_zone0/temp"}};
  source.type = iio;
  says("null in its record");
  source.type = config::SimulateSource{};
  says("exactly once");
  config::MqttSource mqtt;
  mqtt.qos = 2;
  source.type = mqtt;
  says("xactly once");
}
