#include "tests/op_run.h"

#include <ganforge/error.h>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>

namespace ganforge::op_test {
namespace {

template <class T>
void upload_as(Program& program, const std::string& name, const std::vector<double>& values) {
  const std::vector<T> converted(values.begin(), values.end());
  program.upload(name, converted.data(), converted.size() * sizeof(T));
}

Bytes download(Program& program, const Graph& graph) {
  Bytes result;
  for (const auto& [name, value] : graph.outputs()) {
    if (program.output_type(name) != value.type())
      throw Error(fmt::format("{} is {}, inferred was {}", name, program.output_type(name).str(), value.type().str()));
    result[name].resize(value.type().bytes());
    program.download(name, result[name].data(), result[name].size());
  }
  return result;
}

template <class T>
std::vector<double> widened(const std::vector<std::byte>& bytes) {
  std::vector<T> values(bytes.size() / sizeof(T));
  if (!values.empty()) std::memcpy(values.data(), bytes.data(), bytes.size());
  return {values.begin(), values.end()};
}

}  // namespace

Numbers feed(const OpCase& row, const RowGraph& built) {
  Numbers numbers_of;
  for (std::size_t i = 0; i < row.inputs.size(); ++i)
    numbers_of[fmt::format("x{}", i)] = numbers(row.inputs[i], static_cast<unsigned>(i));
  for (std::size_t o = 0; o < built.c_inputs.size(); ++o)
    numbers_of[fmt::format("c{}", o)] = numbers(built.c_inputs[o], static_cast<unsigned>(100 + o));
  return numbers_of;
}

void upload(Program& program, const Graph& graph, const Numbers& values) {
  for (const auto& [name, value] : graph.inputs()) {
    switch (value.type().dtype) {
      case DType::float32:
        upload_as<float>(program, name, values.at(name));
        break;
      case DType::float64:
        upload_as<double>(program, name, values.at(name));
        break;
      default:
        upload_as<std::int32_t>(program, name, values.at(name));
    }
  }
}

Bytes run(Program& program, const Graph& graph) {
  program.run();
  return download(program, graph);
}

Numbers widen(const Bytes& bytes, const Graph& graph) {
  Numbers result;
  for (const auto& [name, value] : graph.outputs()) {
    const DType type = value.type().dtype;
    const auto& b = bytes.at(name);
    result[name] = type == DType::float32   ? widened<float>(b)
                   : type == DType::float64 ? widened<double>(b)
                                            : widened<std::int32_t>(b);
  }
  return result;
}

Numbers compute(Device& device, Graph& graph, const Numbers& values) {
  Program program = compile(device, graph);
  upload(program, graph, values);
  return widen(run(program, graph), graph);
}

double largest(const std::vector<double>& values) {
  double result = 0;
  for (double x : values) result = std::max(result, std::abs(x));
  return result;
}

double distance(const std::vector<double>& a, const std::vector<double>& b) {
  double result = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double d = std::abs(a[i] - b[i]);
    if (!(d <= result)) result = d;
    if (std::isnan(d)) return d;
  }
  return result;
}

}  // namespace ganforge::op_test
