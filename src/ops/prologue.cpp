// The op that opens an updating program.
#include "kernels/prologue.h"
#include "src/ops/support.h"

namespace ganforge {
namespace {

/// tick, cursor, statistics, ring, ring_tick[, data[, labels]]
///   → latents …, schedules …, new tick, cursor, ring, ring_tick[, batch[, labels]]
class PrologueOp : public Op {
 public:
  explicit PrologueOp(PrologueOptions options) : options_(std::move(options)) {}

  std::string describe() const override {
    std::string text = fmt::format("prologue seed={} rows={}{} scale={} shift={}", options_.seed, options_.rows,
                                   options_.staged ? " staged" : "", options_.scale, options_.shift);
    for (std::size_t i = 0; i < options_.latents.size(); ++i) {
      const LatentSpec& z = options_.latents[i];
      text += fmt::format(" z{}={}{}", options_.draws[i],
                          z.uniform ? fmt::format("uniform({},{})", z.low, z.high) : "normal", z.shape.str());
    }
    for (const Schedule& s : options_.schedules) text += " " + ganforge::describe(s);
    return text;
  }

  Types infer(const Types& in) const override {
    const Type counter{DType::int64, {}};
    require(in[0] == counter && in[1] == counter, "tick and cursor must be int64 []");
    require(in[2] == Type{DType::float32, {statistics_slots * statistics_stride}},
            fmt::format("statistics is {}", in[2].str()));
    require(in[3].dtype == DType::float32 && in[3].shape.rank() == 2 && in[3].shape[1] == statistics_slots,
            fmt::format("ring is {}", in[3].str()));
    require(in[4] == Type{DType::int64, {in[3].shape[0]}}, fmt::format("ring_tick is {}", in[4].str()));
    require(options_.latents.size() <= max_latents,
            fmt::format("at most {} latents, got {}", max_latents, options_.latents.size()));
    require(options_.schedules.size() <= max_schedules,
            fmt::format("at most {} schedules, got {}", max_schedules, options_.schedules.size()));
    require(options_.rows == 0 || in.size() > 5, "rows to draw, but no data");
    Types out;
    for (const LatentSpec& z : options_.latents) out.push_back({DType::float32, z.shape});
    for (std::size_t i = 0; i < options_.schedules.size(); ++i) out.push_back({DType::float32, {}});
    out.insert(out.end(), {in[0], in[1], in[3], in[4]});
    if (options_.rows > 0) {
      require(in[5].dtype == DType::uint8 && in[5].shape.rank() >= 1,
              fmt::format("data must be uint8 [count, …], got {}", in[5].str()));
      require(in[5].shape[0] >= 1, "the data set is empty");
      if (options_.staged)
        require(in[5].shape.rank() >= 2 && in[5].shape[0] == 2 && in[5].shape[1] == options_.rows,
                fmt::format("staged data must be uint8 [2, {}, …], got {}", options_.rows, in[5].str()));
      out.push_back({DType::float32, batch_shape(in[5].shape)});
      if (in.size() > 6) {
        const bool one_each = in[6].shape.rank() == 1 && (options_.staged || in[6].shape[0] == in[5].shape[0]);
        require(in[6].dtype == DType::int32 && one_each && in[6].shape[0] >= 1,
                fmt::format("labels must be int32 [{}], got {}",
                            options_.staged ? "count" : std::to_string(in[5].shape[0]), in[6].str()));
        out.push_back({DType::int32, {options_.rows}});
      }
    }
    return out;
  }

  Values grad(const Values&, const Values&, const Values&) const override { return {}; }

  int in_place(int output) const override {
    const int state = output - first_state();
    constexpr int inputs[] = {0, 1, 3, 4};
    return state >= 0 && state < 4 ? inputs[state] : -1;
  }

  Kernel prepare(Device&, const Types& in) const override {
    PrologueArgs args{};
    args.seed = options_.seed;
    args.ring_rows = in[3].shape[0];
    args.schedules = static_cast<int>(options_.schedules.size());
    args.latents = static_cast<int>(options_.latents.size());
    for (std::size_t i = 0; i < options_.schedules.size(); ++i) args.schedule[i] = options_.schedules[i];
    for (std::size_t i = 0; i < options_.latents.size(); ++i) {
      const LatentSpec& z = options_.latents[i];
      args.latent[i] = {z.uniform ? Latent::Kind::uniform : Latent::Kind::normal,
                        z.low,
                        z.high,
                        static_cast<std::uint32_t>(options_.draws[i]),
                        z.shape.elements(),
                        nullptr};
    }
    if (options_.rows > 0) {
      args.batch.staged = options_.staged;
      args.batch.count = in.size() > 6 ? in[6].shape[0] : in[5].shape[0];
      args.batch.sample = batch_shape(in[5].shape).elements() / options_.rows;
      args.batch.rows = options_.rows;
      args.batch.scale = options_.scale;
      args.batch.shift = options_.shift;
      args.batch.seed = options_.seed;
    }
    const bool labels = options_.rows > 0 && in.size() > 6;
    Kernel kernel = make_kernel([args, labels](const auto& stream, const Call& call) {
      PrologueArgs a = args;
      a.tick = call.template input<std::int64_t>(0);
      a.batch.cursor = call.template input<std::int64_t>(1);
      a.statistics = call.template input<float>(2);
      a.ring = call.template input<float>(3);
      a.ring_tick = call.template input<std::int64_t>(4);
      int output = 0;
      for (int i = 0; i < a.latents; ++i) a.latent[i].z = call.template output<float>(output++);
      for (int i = 0; i < a.schedules; ++i) a.schedule_value[i] = call.template output<float>(output++);
      a.new_tick = call.template output<std::int64_t>(output++);
      a.batch.new_cursor = call.template output<std::int64_t>(output++);
      a.new_ring = call.template output<float>(output++);
      a.new_ring_tick = call.template output<std::int64_t>(output++);
      if (a.batch.rows > 0) {
        a.batch.data = call.template input<std::uint8_t>(5);
        a.batch.x = call.template output<float>(output++);
        if (labels) {
          a.batch.labels = call.template input<std::int32_t>(6);
          a.batch.y = call.template output<std::int32_t>(output++);
        }
      }
      a.ticket = static_cast<unsigned*>(call.persistent);
      prologue(stream, a);
    });
    kernel.persistent = sizeof(unsigned);
    return kernel;
  }

  Cost cost(const Types& in) const override {
    Cost cost;
    if (options_.rows > 0) {
      const double elements = static_cast<double>(batch_shape(in[5].shape).elements());
      cost.bytes += 5 * elements;
      cost.flops += 2 * elements;
    }
    for (const LatentSpec& z : options_.latents) {
      cost.bytes += 4 * static_cast<double>(z.shape.elements());
      cost.flops += 50 * static_cast<double>(z.shape.elements());  // Philox and Box–Muller, roughly
    }
    return cost;
  }

 private:
  Shape batch_shape(const Shape& data) const {
    return options_.staged ? Shape(data.extents().subspan(1)) : data.with(0, options_.rows);
  }
  int first_state() const { return static_cast<int>(options_.latents.size() + options_.schedules.size()); }

  PrologueOptions options_;
};

}  // namespace

PrologueResult prologue(const PrologueState& state, Value data, Value labels, const PrologueOptions& options) {
  PrologueOptions numbered = options;
  Graph& graph = state.tick.graph();
  while (numbered.draws.size() < numbered.latents.size()) numbered.draws.push_back(graph.fresh_number());
  Values in = {state.tick, state.cursor, state.statistics, state.ring, state.ring_tick};
  if (options.rows > 0) {
    in.push_back(data);
    if (labels) in.push_back(labels);
  }
  const Values out = graph.add(PrologueOp(numbered), in);
  PrologueResult result;
  std::size_t next = 0;
  for (std::size_t i = 0; i < options.latents.size(); ++i) result.latents.push_back(out[next++]);
  for (std::size_t i = 0; i < options.schedules.size(); ++i) result.schedules.push_back(out[next++]);
  result.state.tick = out[next++];
  result.state.cursor = out[next++];
  result.state.ring = out[next++];
  result.state.ring_tick = out[next++];
  if (options.rows > 0) {
    result.x = out[next++];
    if (labels) result.labels = out[next++];
  }
  return result;
}

}  // namespace ganforge
