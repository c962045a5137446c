// The keys of modbus and can sources.
#include "agent/config/schema.h"

namespace rivulet::config::schema {
namespace {

using namespace keys;

constexpr Setting scale() { return number("scale", "what the raw number is multiplied by").else_("1"); }
constexpr Setting offset() { return number("offset", "what is added then").else_("0"); }

constexpr Setting kModbus[] = {
    text("url", "tcp://host:502; of slaves that have none of their own"),
    map("rtu", modbus_rtu, "a serial line instead"),
    integer("unit", 0, 255, "the unit id, of slaves that have none of their own").else_("1"),
    map("slaves", modbus_slave, "several; absent: one, that of `url` or `rtu`, named as the source").by_name(),
    duration("timeout", 10, 10 * kSecond, "for a whole answer, and to connect").else_("1s"),
    duration("pause", 0, 10 * kSecond, "between two requests on a connection; on a serial line at least 3.5 characters").else_("0ms"),
    integer("gap", 0, 124, "so many registers (or bits) that nobody asked for may lie between two of one request").else_("0"),
    integer("max_registers", 1, 125, "of one request").else_("125"),
    text("slave_field", "the field that takes the slave's name; \"\": none").else_("slave"),
    text("group_field", "the field that takes the group's name; \"\": none").else_("group"),
    map("groups", modbus_group, "what is polled together: one record a poll").by_name().needed(),
};
constexpr Setting kRtu[] = {
    text("device", "such as /dev/serial/by-id/usb-...; no other source may have it").needed(),
    word("baud", "1200 | 2400 | 4800 | 9600 | 19200 | 38400 | 57600 | 115200 | 230400 | 460800 | 921600", "bits a second").else_("19200"),
    word("parity", "even | odd | none", "of each character").else_("even"),
    integer("stop_bits", 1, 2, "Modbus asks for 2 without parity; few devices do").else_("1"),
    boolean("rs485", "the kernel switches the driver's direction (TIOCSRS485)").else_("false"),
};
constexpr Setting kSlave[] = {
    text("url", "tcp://host:502; absent: the source's"),
    integer("unit", 0, 255, "the unit id; absent: the source's"),
};
constexpr Setting kGroup[] = {
    duration("interval", 10, kDay, "from poll to poll").needed(),
    text("slaves", "the names of those that have these registers; absent: all").listed(),
    map("registers", modbus_register, "fields of the record, in their order").by_name().needed(),
};
constexpr Setting kRegister[] = {
    word("register", "holding | input | coil | discrete", "which of the four tables").needed(),
    integer("address", 0, 65'535, "as it goes over the wire, from 0 (a manual's 40001 is holding 0)").needed(),
    word("type", "bool | u16 | i16 | u32 | i32 | u64 | i64 | f32 | f64 | string", "absent: u16, of a coil or discrete input bool"),
    integer("bit", 0, 15, "with `type: bool` of a register: which of its bits, from the lowest").else_("0"),
    integer("length", 1, 125, "of a string, in registers of two characters"),
    word("byte_order", "big | little", "within each register").else_("big"),
    word("word_order", "big | little", "of the registers of one value").else_("big"),
    scale(),
    offset(),
    integer("unit", 0, 255, "the unit id, where one record holds several units' registers; absent: the slave's"),
};

constexpr Setting kCan[] = {
    text("interface", "such as can0").needed(),
    map("filters", can_filter, "frames that are taken, decided in the kernel; absent: all").listed(),
    map("messages", can_message, "frames whose signals become fields").by_name(),
    word("unmapped", "drop | raw | ignore", "frames that are none of `messages`: counted, or records {id, data in hex}, or not even received").else_("drop"),
    boolean("fd", "CAN FD frames of up to 64 bytes, too").else_("false"),
    text("message_field", "the field that takes the message's name; \"\": none").else_("message"),
    size("receive_buffer", 4 * kKiB, 256 * kMiB, "in the kernel").else_("1MiB"),
};
constexpr Setting kFilter[] = {
    integer("id", 0, 0x1FFF'FFFF, "such as 0x123").needed(),
    integer("mask", 0, 0x1FFF'FFFF, "the bits of the id that count; absent: all").else_("0x1FFFFFFF"),
    boolean("extended", "a 29 bit id; absent: where it needs more than 11"),
};
constexpr Setting kMessage[] = {
    integer("id", 0, 0x1FFF'FFFF, "such as 0x0CF00400").needed(),
    boolean("extended", "a 29 bit id; absent: where it needs more than 11"),
    text("multiplexor", "the name of the signal that says which of those with `when` are there"),
    map("signals", can_signal, "fields of the record, in their order").by_name().needed(),
};
constexpr Setting kSignal[] = {
    integer("start", 0, 511, "the start bit as a DBC file has it: of intel the lowest, of motorola the highest; bit n is bit n % 8 of byte n / 8").needed(),
    integer("length", 1, 64, "in bits").needed(),
    word("order", "intel | motorola", "little or big endian (DBC: @1, @0)").else_("intel"),
    word("type", "unsigned | signed | float", "float: of 32 or 64 bits").else_("unsigned"),
    scale(),
    offset(),
    integer("when", 0, UINT64_MAX, "the value of the multiplexor with which it is there; absent: always"),
};

}  // namespace

constinit const Section modbus{kModbus}, modbus_rtu{kRtu}, modbus_slave{kSlave}, modbus_group{kGroup}, modbus_register{kRegister};
constinit const Section can{kCan}, can_filter{kFilter}, can_message{kMessage}, can_signal{kSignal};

}  // namespace rivulet::config::schema
