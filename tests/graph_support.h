// What tests of whole graphs share.
#pragma once

#include "tests/devices.h"

#include <ganforge/error.h>
#include <ganforge/ops.h>
#include <ganforge/program.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace ganforge {

using Floats = std::vector<float>;

inline Type f32(const Shape& shape) {
  return {DType::float32, shape};
}

/// One run with these inputs.
inline Floats run(Program& program, const std::string& output,
                  const std::vector<std::pair<std::string, Floats>>& inputs = {}) {
  for (const auto& [name, values] : inputs) program.upload(name, values.data(), values.size() * sizeof(float));
  program.run();
  return program.floats(output);
}

/// A variable's value.
inline Floats stored(VariableStore& store, const Variable& variable) {
  Floats values(static_cast<std::size_t>(variable.type.shape.elements()));
  store.download(variable, values.data());
  return values;
}

/// What f throws.
inline std::string message_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

}  // namespace ganforge
