"""The PyTorch peer: times a causal byte language model, or attention alone, and prints one line of JSON.

favor and blocks (exact softmax) are as fast as we could make them in float32 on a CPU: hand-written gradients, a task
per head on single-threaded workers, nothing computed of the future. softmax is exact attention as it is commonly
written: masked scores of all pairs, differentiated by autograd. package is the language model of performer-pytorch, where
that is installed. The length is a multiple of the chunk. For favor and blocks the caller sets
    ATEN_CPU_CAPABILITY=avx512 OPENBLAS_NUM_THREADS=2 OMP_NUM_THREADS=2 OPENBLAS_THREAD_TIMEOUT=4
    LD_PRELOAD=libjemalloc.so.2 MALLOC_CONF=oversize_threshold:0,dirty_decay_ms:-1,muzzy_decay_ms:-1,thp:always
in the environment."""

import argparse
import ctypes
import json
import statistics
import time
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import nn


class Workers:
    """Runs a task per head, on one thread each: small products run better side by side than each on all the cores."""

    def __init__(self, threads):
        torch.set_num_threads(threads)
        torch.set_flush_denormal(True)
        self.threads = threads
        try:
            self.set_blas_threads, self.note = ctypes.CDLL("libopenblas.so.0").openblas_set_num_threads, ""
        except OSError:  # Workers then have one thread by torch's own setting, which other builds of BLAS heed or not.
            self.set_blas_threads, self.note = lambda _: None, "without libopenblas.so.0 (Debian: libopenblas0-pthread)"
        self.pool = ThreadPoolExecutor(threads, initializer=self.start)

    def start(self):
        torch.set_num_threads(1)
        torch.set_grad_enabled(False)

    def each(self, task, *items):
        self.set_blas_threads(1)
        results = list(self.pool.map(task, *items))
        self.set_blas_threads(self.threads)
        return results


def rotate(x, table):
    """Rotary positions: pairs of channels of x [length, size] as complex numbers, times table [length, size / 2]."""
    return torch.view_as_real(torch.view_as_complex(x.unflatten(-1, (-1, 2))) * table).flatten(-2)


def states(keys, values, reverse=False):
    """For each chunk, the sum of keys^T values over the chunks before it (reverse: after it)."""
    out = values.new_empty(len(keys), keys.shape[2], values.shape[2])
    order = range(len(out))[:: -1 if reverse else 1]
    out[order[0]].zero_()
    for i, j in zip(order, order[1:]):
        torch.addmm(out[i], keys[i].t(), values[i], out=out[j])
    return out


class Favor:
    """FAVOR+ of one head, q, k, v [length, size], in chunks; the normaliser is a column of ones beside v."""

    def __init__(self, projection, chunk):
        self.projection, self.chunk = projection, chunk

    def queries(self, x):
        """exp(x w) over its sum: any factor of a query cancels in the attention, exp(-|x|^2 / 2) and a maximum too."""
        return torch.softmax(torch.mm(x, self.projection.t()), -1)

    def keys(self, x):
        """exp(x w - |x|^2 / 2 - the maximum of the sequence)."""
        y, half = torch.mm(x, self.projection.t()), x.square().sum(-1) / 2
        return y.sub_((half + (y.amax(-1) - half).max()).unsqueeze(-1)).exp_()

    def bidirectional(self, q, k, v, out):
        y = torch.mm(self.queries(q), torch.mm(self.keys(k).t(), nn.functional.pad(v, (0, 1), value=1.0)))
        torch.div(y[:, :-1], y[:, -1:], out=out)

    def forward(self, q, k, v, out):
        parts = self.queries(q), self.keys(k), nn.functional.pad(v, (0, 1), value=1.0)
        q, p, v = (x.view(-1, self.chunk, x.shape[1]) for x in parts)
        s = states(p, v)
        a = torch.bmm(q, p.transpose(1, 2)).tril_()
        y = torch.bmm(q, s).baddbmm_(a, v).flatten(0, 1)
        inverse = y[:, -1:].reciprocal()
        torch.mul(y[:, :-1], inverse, out=out)
        return k, q, p, v, s, a, inverse

    def backward(self, saved, out, grad):
        x, q, k, v, s, a, inverse = saved
        grad = grad * inverse
        g = torch.cat([grad, -(grad * out).sum(-1, keepdim=True)], 1).view(v.shape)
        da = torch.bmm(g, v.transpose(1, 2)).tril_()
        y = torch.bmm(da, k).baddbmm_(g, s.transpose(1, 2)).mul_(q)
        dq = torch.mm(y.flatten(0, 1), self.projection)
        s = states(q, g, reverse=True)
        dv = torch.bmm(a.transpose(1, 2), g[..., :-1]).baddbmm_(k, s[..., :-1]).flatten(0, 1)
        y = torch.bmm(da.transpose(1, 2), q, out=y).baddbmm_(v, s.transpose(1, 2)).mul_(k).flatten(0, 1)
        return dq, torch.mm(y, self.projection).addcmul_(x, y.sum(-1, keepdim=True), value=-1), dv


class Blocks:
    """Exact attention of one head, a block of queries at a time, which only meets the keys up to its own."""

    def __init__(self, block):
        self.block, self.mask = block, torch.full((block, block), -float("inf")).triu_(1)

    def bidirectional(self, q, k, v, out):
        for q, out in zip(q.split(self.block), out.split(self.block)):
            torch.mm(torch.softmax(torch.mm(q, k.t()), -1), v, out=out)

    def forward(self, q, k, v, out):
        weights = []
        for i in range(0, len(q), self.block):
            here, past = slice(i, i + self.block), slice(i + self.block)
            a = torch.mm(q[here], k[past].t())
            a[:, i:] += self.mask[: len(a), : len(a)]
            weights.append((here, past, torch.softmax(a, -1)))
            torch.mm(weights[-1][2], v[past], out=out[here])
        return q, k, v, weights

    def backward(self, saved, out, grad):
        q, k, v, weights = saved
        dq, dk, dv = torch.empty_like(q), torch.zeros_like(k), torch.zeros_like(k)
        for here, past, a in weights:
            dv[past].addmm_(a.t(), grad[here])
            y = torch.mm(grad[here], v[past].t()).sub_((grad[here] * out[here]).sum(-1, keepdim=True)).mul_(a)
            torch.mm(y, k[past], out=dq[here])
            dk[past].addmm_(y.t(), q[here])
        return dq, dk, dv


def plain_softmax(qkv, table, heads):
    """Rotary positions and exact causal attention of qkv [batch * length, 3 * heads * size], left to autograd."""
    length, size = len(table), 2 * table.shape[1]
    q, k, v = qkv.view(-1, length, 3, heads, size).permute(2, 0, 3, 1, 4)
    mask = torch.ones(length, length, dtype=torch.bool).triu_(1)
    scores = torch.matmul(rotate(q, table), rotate(k, table).transpose(-1, -2)).masked_fill(mask, -float("inf"))
    return torch.matmul(torch.softmax(scores, -1), v).transpose(1, 2).reshape(-1, heads * size)


def heads_of(x, table, heads, parts=1):
    """Views [length, size] of the parts of x [batch * length, parts * heads * size], for each sequence and head."""
    x = x.view(-1, len(table), parts, heads, 2 * table.shape[1])
    return [x[b, :, :, h].unbind(1) for b in range(len(x)) for h in range(heads)]


class CausalAttention(torch.autograd.Function):
    """Rotary positions and causal attention of qkv [batch * length, 3 * heads * size], a task per sequence and head."""

    @staticmethod
    def forward(ctx, qkv, table, heads, kernel, workers):
        out, keep = qkv.new_empty(len(qkv), qkv.shape[1] // 3), ctx.needs_input_grad[0]

        def task(qkv, out):
            q, k, v = qkv
            saved = kernel.forward(rotate(q, table), rotate(k, table), v, *out)
            return saved if keep else None

        saved = workers.each(task, heads_of(qkv, table, heads, 3), heads_of(out, table, heads))
        ctx.rest = heads, kernel, workers, saved
        ctx.save_for_backward(table, out)
        return out

    @staticmethod
    def backward(ctx, grad):
        (table, out), (heads, kernel, workers, saved) = ctx.saved_tensors, ctx.rest
        result, back = grad.new_empty(len(grad), 3 * grad.shape[1]), table.conj().resolve_conj()

        def task(saved, out, grad, result):
            dq, dk, dv = kernel.backward(saved, *out, *grad)
            for target, source in zip(result, (rotate(dq, back), rotate(dk, back), dv)):
                target.copy_(source)

        views = heads_of(out, table, heads), heads_of(grad, table, heads), heads_of(result, table, heads, 3)
        workers.each(task, saved, *views)
        ctx.rest = None
        return result, None, None, None, None


def shift(x, batch):
    """The first half of the channels of x [batch * length, dim] comes from the previous token."""
    past, here = x.view(batch, -1, x.shape[1]).chunk(2, -1)
    return torch.cat([nn.functional.pad(past, (0, 0, 1, -1)), here], -1).view(x.shape)


def orthogonal_projection(features, size):
    """Rows orthogonal in blocks of size, with the lengths of Gaussian vectors."""
    rows = torch.linalg.qr(torch.randn(-(-features // size), size, size))[0].flatten(0, 1)[:features]
    return rows * torch.randn(features, size).norm(dim=1, keepdim=True)


def attention_of(o):
    return Favor(orthogonal_projection(o.features, o.head_dim), o.chunk) if o.attention == "favor" else Blocks(o.block)


class Block(nn.Module):
    """x + attention(shift(norm(x))), then x + feed-forward(shift(norm(x)))."""

    def __init__(self, o, table, workers):
        super().__init__()
        self.batch, inner, wide = o.batch, o.heads * o.head_dim, o.feed_forward * o.dim
        self.attention = table, o.heads, attention_of(o), workers
        self.is_plain = o.attention == "softmax"
        self.norm1, self.norm2 = nn.LayerNorm(o.dim), nn.LayerNorm(o.dim)
        self.qkv, self.out = nn.Linear(o.dim, 3 * inner, bias=False), nn.Linear(inner, o.dim)
        self.up, self.down = nn.Linear(o.dim, wide), nn.Linear(wide, o.dim)

    def forward(self, x):
        qkv = self.qkv(shift(self.norm1(x), self.batch))
        table, heads = self.attention[:2]
        y = plain_softmax(qkv, table, heads) if self.is_plain else CausalAttention.apply(qkv, *self.attention)
        x = x + self.out(y)
        return x + self.down(nn.functional.gelu(self.up(shift(self.norm2(x), self.batch))))


def model_of(o, workers):
    # The rotations carry the scale of the attention too: size^(-1/4), for q and for k.
    angles = torch.arange(o.length)[:, None] * 10000 ** (-torch.arange(0, o.head_dim, 2) / o.head_dim)
    table = torch.polar(torch.tensor(o.head_dim**-0.25), angles)
    body = [Block(o, table, workers) for _ in range(o.depth)]
    return nn.Sequential(nn.Embedding(o.vocabulary, o.dim), *body, nn.LayerNorm(o.dim), nn.Linear(o.dim, o.vocabulary))


def package_of(o):
    """performer-pytorch's language model of the same size; like model_of it takes tokens [batch * length]."""
    from performer_pytorch import PerformerLM

    class Flat(PerformerLM):
        def forward(self, tokens):
            return super().forward(tokens.view(o.batch, -1)).flatten(0, 1)

    sizes = dict(dim=o.dim, depth=o.depth, heads=o.heads, dim_head=o.head_dim, nb_features=o.features, ff_mult=o.feed_forward)
    return Flat(num_tokens=o.vocabulary, max_seq_len=o.length, causal=True, **sizes)


def step_of(o, workers):
    if o.mode == "attention":
        kernel, heads = attention_of(o), torch.randn(4, o.heads, o.length, o.head_dim) * o.head_dim**-0.25
        return lambda: workers.each(kernel.bidirectional, *heads)
    model = package_of(o) if o.attention == "package" else model_of(o, workers)
    tokens = torch.randint(o.vocabulary, (o.batch, o.length + 1))
    inputs, targets = tokens[:, :-1].flatten(), tokens[:, 1:].flatten()
    if o.mode == "forward":
        return torch.no_grad()(lambda: model(inputs))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.01)

    def train():
        optimizer.zero_grad(set_to_none=True)
        nn.functional.cross_entropy(model(inputs), targets).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return train


def peak_bytes():
    """The peak of resident memory; ru_maxrss would have that of the process that started this one."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:")) * 1024


def main():
    parser = argparse.ArgumentParser(description="One timing of PyTorch, as one line of JSON.")
    parser.add_argument("--attention", choices=["favor", "blocks", "softmax", "package"], required=True)
    parser.add_argument("--mode", choices=["train", "forward", "attention"], required=True)
    parser.add_argument("--length", type=int, required=True)
    sizes = dict(depth=6, dim=512, heads=8, head_dim=64, features=256, feed_forward=4, batch=1, chunk=64, block=256)
    for name, value in dict(sizes, vocabulary=256, repeats=5, warmup=3, threads=2).items():
        parser.add_argument("--" + name.replace("_", "-"), type=int, default=value)
    o = parser.parse_args()
    if o.attention in ("softmax", "package") and o.mode == "attention":
        parser.error("attention alone is timed for favor and blocks")
    torch.manual_seed(0)
    workers, times = Workers(o.threads), []
    step = step_of(o, workers)
    for _ in range(o.warmup + o.repeats):
        start = time.perf_counter()
        step()
        times.append(round((time.perf_counter() - start) * 1e3, 2))
    times, peak = times[o.warmup :], peak_bytes()
    print(json.dumps({"attention": o.attention, "mode": o.mode, "length": o.length, "milliseconds": times,
                      "median": statistics.median(times), "peakBytes": peak, "note": workers.note}))


if __name__ == "__main__":
    main()
