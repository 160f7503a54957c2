// ganforge_bench: single ops at the sizes of the presets, against what the machine can do. bench/README.md.
#include "bench/machine_peak.h"
#include "bench/op_bench.h"
#include "bench/stopwatch.h"
#if GANFORGE_CUDA
#include "bench/cuda_timer.h"
#endif

#include <ganforge/config.h>
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
  bool cuda = false, table = false;
  std::optional<std::string> once;
  Precision precision = Precision::fp32;
  std::vector<std::pair<std::string, ConvMode>> conv = {{"auto", ConvMode::automatic}};
};

constexpr std::string_view usage =
    "usage: ganforge_bench [--threads=N] [--batch=N] [--device=cpu|cuda] [--conv=auto,library,own,direct]\n"
    "                      [--precision=fp32|tf32|bf16] [--table] [--once=TEXT]\n"
    "       --conv    how convolutions are computed; several are put side by side (default auto)\n"
    "       --table   the table of ops of the tests instead of the presets' sizes\n"
    "       --once    runs each op with TEXT in its name, without timing, and prints its launches, operations and "
    "bytes\n"
    "       and the flags of Google Benchmark, e.g. --benchmark_filter=conv2d.*dcgan-28\n";

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

/// "library,own" → each with its name.
std::vector<std::pair<std::string, ConvMode>> conv_modes(std::string_view list) {
  std::vector<std::pair<std::string, ConvMode>> modes;
  for (std::size_t begin = 0; begin <= list.size();) {
    const std::size_t end = std::min(list.find(',', begin), list.size());
    const std::string_view name = list.substr(begin, end - begin);
    modes.push_back({std::string(name), choose<ConvMode>("--conv", name,
                                                         {{"auto", ConvMode::automatic},
                                                          {"library", ConvMode::library},
                                                          {"own", ConvMode::own},
                                                          {"direct", ConvMode::direct}})});
    begin = end + 1;
  }
  return modes;
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
      a.conv = conv_modes(value);
    else if (flag == "--precision")
      a.precision = choose<Precision>(
          flag, value, {{"fp32", Precision::fp32}, {"tf32", Precision::tf32}, {"bf16", Precision::bf16}});
    else if (flag == "--once")
      a.once = value;
    else if (argument == "--table")
      a.table = true;
    else
      rest.push_back(each);
    if (flag == "--help") fmt::print("{}", usage);
  }
  argv = rest;
  return a;
}

template <class T>
void upload_as(Program& program, const std::string& input, const std::vector<double>& values) {
  const std::vector<T> converted(values.begin(), values.end());
  program.upload(input, converted.data(), converted.size() * sizeof(T));
}

/// A row compiled, with its inputs.
struct Prepared {
  std::string name;
  VariableStore store;
  std::optional<Program> program;
  double flops = 0, bytes = 0;
  std::string notes;  ///< the algorithms, where there are several

  Prepared(Device& device, const std::string& title, const Row& row) : name(title), store(device, 1) {
    Graph graph;
    row.build(graph, store);
    program.emplace(compile(device, graph));
    std::mt19937 random(1);
    for (const auto& [input, value] : graph.inputs()) {
      std::vector<double> values(static_cast<std::size_t>(value.shape().elements()));
      if (const auto at = row.values.find(input); at != row.values.end())
        values = at->second;
      else
        std::ranges::generate(values, [&] { return static_cast<double>(random()) * 0x1p-31 - 1; });
      if (value.type().dtype == DType::int32)
        upload_as<std::int32_t>(*program, input, values);
      else
        upload_as<float>(*program, input, values);
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

/// Times rows; one program is kept, for Google Benchmark asks for each several times.
class Bench {
 public:
  Bench(Device& device, const MachinePeak& peak) : device_(device), peak_(peak) {
#if GANFORGE_CUDA
    if (device.is_cuda()) timer_ = std::make_unique<CudaTimer>(device);
#endif
  }

  void run(benchmark::State& state, const std::string& name, const Row& row, ConvMode conv) {
    if (!prepared_ || prepared_->name != name) {
      prepared_.reset();  // first its memory, then that of the next
      device_.conv_policy().mode = conv;
      prepared_ = std::make_unique<Prepared>(device_, name, row);
    }
    const double each = device_.is_cuda() ? on_cuda(state) : on_cpu(state);
    state.counters["GFLOP/s"] = prepared_->flops / each * 1e-9;
    state.counters["%FMA"] = 100 * prepared_->flops / each / peak_.flops;
    if (peak_.tf32_flops > 0) state.counters["%TF32"] = 100 * prepared_->flops / each / peak_.tf32_flops;
    state.counters["GB/s"] = prepared_->bytes / each * 1e-9;
    state.counters["%copy"] = 100 * prepared_->bytes / each / peak_.bytes;
    state.SetLabel(prepared_->notes);
  }

 private:
  /// Seconds a run. Of one thread by its own time.
  double on_cpu(benchmark::State& state) {
    const Stopwatch watch(std::get<CpuStream>(device_.stream()).threads == 1);
    for (auto _ : state) prepared_->program->run();
    return watch.seconds() / static_cast<double>(state.iterations());
  }

  /// Seconds a run by the card's clock.
  double on_cuda([[maybe_unused]] benchmark::State& state) {
    double sum = 0;
#if GANFORGE_CUDA
    // As many runs are queued together as take about a millisecond, so that the host is ahead of the card.
    const double one = timer_->seconds(1, [&] { prepared_->program->run(); });
    const int group = static_cast<int>(std::clamp(1e-3 / one, 1.0, 50.0));
    while (state.KeepRunningBatch(group)) {
      const double seconds = timer_->seconds(group, [&] { prepared_->program->run(); });
      state.SetIterationTime(seconds);
      sum += seconds;
    }
#endif
    return sum / static_cast<double>(state.iterations());
  }

  Device& device_;
  MachinePeak peak_;
  std::unique_ptr<Prepared> prepared_;
#if GANFORGE_CUDA
  std::unique_ptr<CudaTimer> timer_;
#endif
};

/// For a profiler: on CUDA the one captured graph that a program launches beside its construction.
void run_once(Device& device, const std::string& name, const Row& row) {
  Prepared prepared(device, name, row);
  fmt::print("{}\t{}\t{:.0f}\t{:.0f}\n", name, prepared.program->launches(), prepared.flops, prepared.bytes);
}

MachinePeak measure_peak(Device& device) {
#if GANFORGE_CUDA
  if (device.is_cuda()) return cuda_peak(device);
#endif
  const auto& cpu = std::get<CpuStream>(device.stream());
  return cpu_peak(cpu.threads, cpu.isa);
}

void run(int argc, char** argv) {
  std::vector<char*> flags(argv, argv + argc);
  const Arguments a = parse(flags);
  // Defaults: a later flag counts. What the card does between two timed runs takes longer than most of these.
  std::string tabular = "--benchmark_counters_tabular=true", brief = "--benchmark_min_time=0.02";
  flags.insert(flags.begin() + 1, tabular.data());
  if (a.cuda) flags.insert(flags.begin() + 1, brief.data());
  int count = static_cast<int>(flags.size());
  flags.push_back(nullptr);
  benchmark::Initialize(&count, flags.data());
  if (count > 1) throw Error(fmt::format("unknown flag {}; --help lists them", flags[1]));

  Device device = a.cuda ? Device::cuda() : Device::cpu(a.threads);
  device.set_precision(a.precision);
  const std::vector<Row> all = a.table ? table_rows() : preset_rows(a.batch);
  if (a.once) {
    device.conv_policy().mode = a.conv[0].second;
    for (const Row& row : all)
      if (row.name.find(*a.once) != std::string::npos) run_once(device, row.name, row);
    return;
  }
  const MachinePeak peak = measure_peak(device);
  benchmark::AddCustomContext("device", device.name());
  benchmark::AddCustomContext("FMA peak", fmt::format("{:.1f} GFLOP/s", peak.flops * 1e-9));
  if (peak.tf32_flops > 0)
    benchmark::AddCustomContext("TF32 peak", fmt::format("{:.1f} GFLOP/s", peak.tf32_flops * 1e-9));
  benchmark::AddCustomContext("copy peak", fmt::format("{:.1f} GB/s, read and written", peak.bytes * 1e-9));

  Bench bench(device, peak);
  for (const Row& row : all)
    for (const auto& [mode_name, mode] : a.conv) {
      const bool several = row.conv && a.conv.size() > 1;
      const std::string name = several ? row.name + "/" + mode_name : row.name;
      auto* const made = benchmark::RegisterBenchmark(
          name.c_str(),
          [&bench, &row, name, mode = mode](benchmark::State& state) { bench.run(state, name, row, mode); });
      made->Unit(benchmark::kMicrosecond);
      if (a.cuda)
        made->UseManualTime();
      else
        made->UseRealTime();
      if (!several) break;
    }
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
