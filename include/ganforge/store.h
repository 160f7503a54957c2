// Variables: what survives a step.
#pragma once

#include <ganforge/device.h>
#include <ganforge/shape.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

namespace ganforge {

/// Brings a variable's content from the host, run by run.
class Feed {
 public:
  virtual ~Feed() = default;
  /// Called right before and right after a run of a program that reads the variable is queued.
  virtual void before_run() = 0;
  virtual void after_run() = 0;
};

/// Named memory of a device. Its address never changes: captured graphs hold it.
struct Variable {
  std::string name;
  Type type;
  Buffer buffer;
  bool saved = true;                ///< part of a checkpoint
  std::unique_ptr<Feed> feed = {};  ///< null: what was assigned or uploaded stays
  std::uint64_t times_written = 0;  ///< by VariableStore::upload() and by programs that assign it

  void* data() const { return buffer.data(); }
};

/// All weights and state of a training run: what a checkpoint holds.
class VariableStore {
 public:
  VariableStore(Device& device, std::uint64_t seed) : device_(&device), seed_(seed) {}

  /// The variable of that name, made and filled with zeros if there is none. Throws ShapeError if there is one of
  /// another type.
  Variable& variable(const std::string& name, Type type, bool saved = true);
  /// Null if there is none.
  Variable* find(const std::string& name);

  void upload(Variable& variable, const void* values);
  /// Waits for the device. `values` has variable.type.bytes() bytes.
  void download(const Variable& variable, void* values);

  Device& device() const { return *device_; }
  std::uint64_t seed() const { return seed_; }
  const std::deque<Variable>& variables() const { return variables_; }
  std::deque<Variable>& variables() { return variables_; }

 private:
  Device* device_;
  std::uint64_t seed_;
  std::deque<Variable> variables_;
};

}  // namespace ganforge
