// Data that stay on the host: the same bits as data on the device.
#include "kernels/prologue.h"
#include "tests/devices.h"
#include "tests/files.h"
#include "tests/trainers.h"

#include <ganforge/ganforge.h>

#include <sys/mman.h>

#include <cstring>
#include <numeric>

namespace ganforge {
namespace {

/// Samples of noise; labels that tell them apart.
HostDataset noise(std::int64_t count, const Shape& sample) {
  HostDataset data = noise_images(count, sample);
  data.labels.resize(static_cast<std::size_t>(count));
  std::iota(data.labels.begin(), data.labels.end(), 100);
  return data;
}

TrainerOptions small_options() {
  TrainerOptions options;
  options.generator = Sequential{Linear{16}, LeakyReLU{0.2f}, BatchNorm{}, Linear{64}, Tanh{}, Reshape{{8, 8, 1}}};
  options.discriminator = Sequential{Flatten{}, Linear{16}, LeakyReLU{0.2f}, Linear{1}};
  options.latent = 5;
  options.batch = 8;
  options.d_steps = 2;
  return options;
}

/// d_loss and g_loss of each step.
std::vector<float> losses(Trainer& trainer, std::int64_t steps) {
  std::vector<float> all;
  trainer.run(
      steps,
      [&](const Stats& s) {
        all.insert(all.end(), {s.d_loss, s.g_loss});
      },
      1);
  return all;
}

std::map<std::string, std::vector<std::byte>> state(Trainer& trainer) {
  std::map<std::string, std::vector<std::byte>> all;
  for (const Variable& variable : trainer.store().variables()) {
    if (!variable.saved) continue;
    all[variable.name].resize(variable.type.bytes());
    trainer.store().download(variable, all[variable.name].data());
  }
  return all;
}

// 16 samples a step, 40 in all: epochs end within a batch.
TEST(Streaming, TrainsToTheSameBits) {
  for (Device& device : devices()) {
    const Dataset resident(device, noise(40, {8, 8, 1}), Residency::device),
        host(device, noise(40, {8, 8, 1}), Residency::host);
    EXPECT_FALSE(resident.streamed());
    EXPECT_EQ(host.streamed(), device.is_cuda());
    EXPECT_EQ(host.count(), 40);
    Trainer a(device, resident, small_options()), b(device, host, small_options());
    EXPECT_EQ(a.program().launches(), b.program().launches());
    const std::vector<float> all = losses(a, 12);
    std::vector<float> parts;  // run() ends with a batch under way that the next one takes up
    for (std::int64_t steps : {1, 4, 7}) {
      const std::vector<float> part = losses(b, steps);
      parts.insert(parts.end(), part.begin(), part.end());
    }
    EXPECT_EQ(parts, all);
    EXPECT_EQ(state(a), state(b));
  }
}

// A checkpoint of either kind continues in the other, and one loaded midway makes the batch under way stale.
TEST(Streaming, LoadingACheckpointIsExact) {
  for (Device& device : devices()) {
    const test::TemporaryFolder folder;
    const Dataset resident(device, noise(40, {8, 8, 1}), Residency::device),
        host(device, noise(40, {8, 8, 1}), Residency::host);
    Trainer whole(device, resident, small_options()), streamed(device, host, small_options());
    losses(whole, 5);
    whole.save(folder / "5.safetensors");
    const std::vector<float> rest = losses(whole, 6);
    EXPECT_EQ(losses(streamed, 3).size(), 6u);  // another position, and of the same parity
    streamed.load(folder / "5.safetensors");
    EXPECT_EQ(losses(streamed, 6), rest);
    EXPECT_EQ(state(streamed), state(whole));
    streamed.load(folder / "5.safetensors");  // from step 11
    losses(streamed, 1);
    streamed.load(folder / "5.safetensors");  // from step 6
    EXPECT_EQ(losses(streamed, 6), rest);
    streamed.save(folder / "11.safetensors");
    whole.load(folder / "11.safetensors");
    EXPECT_EQ(losses(whole, 3), losses(streamed, 3));
  }
}

struct DrawnProgram {
  DrawnProgram(Device& device, VariableStore& store, const Dataset& data, std::int64_t rows, bool capture) {
    Context context(graph, store, Mode::training);
    const Drawn drawn = draw(context, data, {.rows = rows, .labels = true, .latents = {}, .schedules = {}});
    graph.output("real", drawn.real);
    graph.output("labels", drawn.labels);
    program.emplace(compile(device, graph, {.capture = capture}));
    this->rows = static_cast<std::size_t>(rows);
  }
  std::pair<std::vector<float>, std::vector<std::int32_t>> operator()() {
    program->run();
    std::vector<std::int32_t> labels(rows);
    program->download("labels", labels.data(), labels.size() * sizeof(std::int32_t));
    return {program->floats("real"), labels};
  }
  Graph graph;
  std::optional<Program> program;
  std::size_t rows;
};

// Without a trainer; the programs of a store move one position on, in turns, with batches of one size and of another.
TEST(Streaming, ProgramsOfAStoreShareThePosition) {
  for (Device& device : devices()) {
    for (const bool capture : {true, false}) {
      // 5 elements a sample: rows that are not whole words, too.
      const Dataset resident(device, noise(10, {5}), Residency::device), host(device, noise(10, {5}), Residency::host);
      VariableStore stores[] = {{device, 3}, {device, 3}};
      std::vector<std::unique_ptr<DrawnProgram>> programs[2];
      for (int s : {0, 1})
        for (std::int64_t rows : {3, 3, 4})
          programs[s].push_back(std::make_unique<DrawnProgram>(device, stores[s], s ? host : resident, rows, capture));
      for (std::size_t p : {0, 0, 0, 1, 0, 2, 2, 2, 0, 0, 2, 1, 1}) {
        const auto want = (*programs[0][p])(), got = (*programs[1][p])();
        EXPECT_EQ(got, want);
        // Rows and labels belong together.
        const HostDataset data = noise(10, {5});
        for (std::size_t row = 0; row < got.second.size(); ++row)
          for (std::size_t i = 0; i < 5; ++i)
            EXPECT_NEAR((got.first[5 * row + i] + 1) * 127.5f,
                        data.pixels[5 * static_cast<std::size_t>(got.second[row] - 100) + i], 1e-3);
      }
    }
  }
}

TEST(Streaming, ThePrologueChecksWhatIsStaged) {
  const auto result = [](Graph& graph, const Type& data, const Type& labels, bool staged) {
    const Type counter{DType::int64, {}};
    const PrologueState state{graph.input("tick", counter), graph.input("cursor", counter),
                              graph.input("statistics", {DType::float32, {statistics_slots * statistics_stride}}),
                              graph.input("ring", {DType::float32, {3, statistics_slots}}),
                              graph.input("ring_tick", {DType::int64, {3}})};
    PrologueOptions options;
    options.rows = 2;
    options.staged = staged;
    return prologue(state, graph.input("data", data), graph.input("labels", labels), options);
  };
  const Type slots{DType::uint8, {2, 2, 4, 3}}, labels{DType::int32, {10}};
  Graph graph;
  const PrologueResult staged = result(graph, slots, labels, true);
  EXPECT_EQ(staged.x.type(), (Type{DType::float32, {2, 4, 3}}));
  EXPECT_EQ(staged.labels.type(), (Type{DType::int32, {2}}));
  const auto refused = [&](const Type& data, const Type& classes) {
    Graph other;
    EXPECT_THROW(result(other, data, classes, true), ShapeError) << data.str() << classes.str();
  };
  refused({DType::uint8, {3, 2, 4, 3}}, labels);
  refused({DType::uint8, {2, 3, 4, 3}}, labels);
  refused({DType::uint8, {2}}, labels);
  refused({DType::int32, {2, 2, 4, 3}}, labels);
  refused(slots, {DType::int32, {5, 2}});
  refused(slots, {DType::uint8, {10}});
}

TEST(Streaming, WhatIsLargeStaysOnTheHost) {
  for (Device& device : devices()) {
    if (!device.is_cuda()) continue;
    const auto dataset = [&](std::size_t bytes) {
      // Room without memory: nobody reads it.
      void* room = ::mmap(nullptr, bytes, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
      EXPECT_NE(room, MAP_FAILED);
      const std::shared_ptr<const void> owner(room, [bytes](const void* p) { ::munmap(const_cast<void*>(p), bytes); });
      HostDataset data{"large", {1 << 20}, static_cast<std::int64_t>(bytes >> 20), {}, {}, {}};
      data.pixels = Bytes(owner, {static_cast<const std::uint8_t*>(room), bytes});
      return data;
    };
    const std::size_t half = (device.free_bytes() / 2) >> 20 << 20;
    const Dataset large(device, dataset(half + (std::size_t(64) << 20)));
    EXPECT_TRUE(large.streamed());
    EXPECT_THROW(large.images(), DeviceError);
    EXPECT_FALSE(Dataset(device, dataset(std::size_t(4) << 20)).streamed());
    EXPECT_THROW(Dataset(device, dataset(4 * half), Residency::device), OutOfMemory);
  }
}

TEST(Streaming, TheCpuUsesTheFileItself) {
  const test::TemporaryFolder folder;
  HostDataset data = noise(10, {4, 4, 1});
  for (std::int32_t& label : data.labels) label %= 2;
  data.classes = {"even", "odd"};
  write_packed(folder / "x.gfd", data);
  HostDataset mapped = read_packed(folder / "x.gfd");
  const std::uint8_t* file = mapped.pixels.data();
  Device cpu = Device::cpu(1);
  std::optional<Dataset> set(std::in_place, cpu, std::move(mapped));
  mapped = {};  // the data set keeps the file
  EXPECT_EQ(set->images().data(), file);
  EXPECT_EQ(std::memcmp(file, data.pixels.data(), data.pixels.size()), 0);
  EXPECT_EQ(std::memcmp(set->labels().data(), data.labels.data(), 40), 0);
  EXPECT_FALSE(set->streamed());
}

}  // namespace
}  // namespace ganforge
