// ganforge_bench: single ops at the sizes of the presets, against what the machine can do. bench/README.md.
#include "bench/machine_peak.h"
#include "bench/op_bench.h"
#include "bench/stopwatch.h"

#include <ganforge/error.h>
#include <ganforge/program.h>

#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <memory>
#include <optional>
#include <random>
#include <string_view>
#include <vector>

namespace ganforge::bench {
namespace {

struct Arguments {
  int threads = 0;
  std::int64_t batch = 64;
  bool cuda = false;
  ConvMode conv = ConvMode::automatic;
};

constexpr std::string_view usage =
    "usage: ganforge_bench [--threads=N] [--batch=N] [--device=cpu|cuda] [--conv=auto|library|own|direct]\n"
    "                      and the flags of Google Benchmark, e.g. --benchmark_filter=conv2d.*dcgan-28\n";

template <class Integer>
Integer whole(std::string_view flag, std::string_view text, Integer least) {
  Integer value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < least)
    throw Error(fmt::format("{}={}: must be a whole number from {}", flag, text, least));
  return value;
}

template <class Choice>
Choice choose(std::string_view flag, std::string_view text,
              std::initializer_list<std::pair<std::string_view, Choice>> choices) {
  std::string names;
  for (const auto& [name, choice] : choices) {
    if (text == name) return choice;
    names += (names.empty() ? "" : ", ") + std::string(name);
  }
  throw Error(fmt::format("{}={}: must be one of {}", flag, text, names));
}

/// Takes the program's own flags out of `argv`; Google Benchmark gets the rest.
Arguments parse(std::vector<char*>& argv) {
  Arguments a;
  std::vector<char*> rest;
  for (char* const each : argv) {
    const std::string_view argument = each;
    const std::size_t equals = argument.find('=');
    const std::string_view flag = argument.substr(0, equals);
    const std::string_view value = equals == argument.npos ? "" : argument.substr(equals + 1);
    if (flag == "--threads")
      a.threads = whole(flag, value, 1);
    else if (flag == "--batch")
      a.batch = whole<std::int64_t>(flag, value, 1);
    else if (flag == "--device")
      a.cuda = choose<bool>(flag, value, {{"cpu", false}, {"cuda", true}});
    else if (flag == "--conv")
      a.conv = choose<ConvMode>(flag, value,
                                {{"auto", ConvMode::automatic},
                                 {"library", ConvMode::library},
                                 {"own", ConvMode::own},
                                 {"direct", ConvMode::direct}});
    else
      rest.push_back(each);
    if (flag == "--help") fmt::print("{}", usage);
  }
  argv = rest;
  return a;
}

/// A row compiled, with inputs uniform in [−1, 1).
struct Prepared {
  std::string name;
  VariableStore store;
  std::optional<Program> program;
  double flops = 0, bytes = 0;
  std::string notes;  ///< the algorithms, where there are several

  Prepared(Device& device, const Row& row) : name(row.name), store(device, 1) {
    Graph graph;
    row.build(graph, store);
    program.emplace(compile(device, graph));
    std::mt19937 random(1);
    std::vector<float> values;
    for (const auto& [input, value] : graph.inputs()) {
      values.resize(static_cast<std::size_t>(value.shape().elements()));
      std::ranges::generate(values, [&] { return static_cast<float>(random()) * 0x1p-31f - 1; });
      program->upload(input, values.data(), value.type().bytes());
    }
    for (const ProgramReport::Launch& launch : program->report().launches) {
      flops += launch.flops;
      bytes += launch.bytes;
      if (!launch.note.empty()) notes += (notes.empty() ? "" : ", ") + launch.note;
    }
    program->run();
    device.synchronize();
  }
};

class Bench {
 public:
  Bench(Device& device, const MachinePeak& peak) : device_(device), peak_(peak) {}

  void run(benchmark::State& state, const Row& row) {
    if (!prepared_ || prepared_->name != row.name) {
      prepared_.reset();  // first its memory, then that of the next
      prepared_ = std::make_unique<Prepared>(device_, row);
    }
    // On a GPU a run is a launch that nobody waits for, so several are timed together.
    const int group = device_.is_cuda() ? 20 : 1;
    const Stopwatch watch(!device_.is_cuda() && std::get<CpuStream>(device_.stream()).threads == 1);
    while (state.KeepRunningBatch(group)) {
      for (int i = 0; i < group; ++i) prepared_->program->run();
      if (device_.is_cuda()) device_.synchronize();
    }
    const double each = watch.seconds() / static_cast<double>(state.iterations());

    state.counters["GFLOP/s"] = prepared_->flops / each * 1e-9;
    if (peak_.flops > 0) state.counters["%FMA"] = 100 * prepared_->flops / each / peak_.flops;
    state.counters["GB/s"] = prepared_->bytes / each * 1e-9;
    state.counters["%copy"] = 100 * prepared_->bytes / each / peak_.bytes;
    state.SetLabel(prepared_->notes);
  }

 private:
  Device& device_;
  MachinePeak peak_;
  std::unique_ptr<Prepared> prepared_;
};

void run(int argc, char** argv) {
  std::vector<char*> flags(argv, argv + argc);
  std::string tabular = "--benchmark_counters_tabular=true";
  flags.insert(flags.begin() + 1, tabular.data());  // a default: a later flag counts
  const Arguments a = parse(flags);
  int count = static_cast<int>(flags.size());
  flags.push_back(nullptr);
  benchmark::Initialize(&count, flags.data());
  if (count > 1) throw Error(fmt::format("unknown flag {}; --help lists them", flags[1]));

  Device device = a.cuda ? Device::cuda() : Device::cpu(a.threads);
  device.conv_policy().mode = a.conv;
  MachinePeak peak;
  if (device.is_cuda())
    peak = cuda_peak(device);
  else
    peak = cpu_peak(std::get<CpuStream>(device.stream()).threads, detect_isa());
  benchmark::AddCustomContext("device", device.name());
  if (peak.flops > 0) benchmark::AddCustomContext("FMA peak", fmt::format("{:.1f} GFLOP/s", peak.flops * 1e-9));
  benchmark::AddCustomContext("copy peak", fmt::format("{:.1f} GB/s, read and written", peak.bytes * 1e-9));

  Bench bench(device, peak);
  const std::vector<Row> all = rows(a.batch);
  for (const Row& row : all)
    benchmark::RegisterBenchmark(row.name.c_str(), [&bench, &row](benchmark::State& state) { bench.run(state, row); })
        ->UseRealTime()
        ->Unit(benchmark::kMicrosecond);
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
}

}  // namespace
}  // namespace ganforge::bench

int main(int argc, char** argv) {
  try {
    ganforge::bench::run(argc, argv);
    return 0;
  } catch (const std::exception& error) {
    fmt::print(stderr, "ganforge_bench: {}\n", error.what());
    return 1;
  }
}
