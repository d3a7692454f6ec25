"""Libraries written for PyTorch, with Flambeau in its place: each where it is installed.

Each program runs in a process of its own, which must not find PyTorch; what it asserts are values
that do not depend on who computes them. docs/programs.md says which versions were tried.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import textwrap

import pytest

PROGRAMS = {
    "einops": """
        from einops import einsum, pack, rearrange, reduce, repeat, unpack
        from einops.layers.torch import EinMix, Rearrange, Reduce

        x = torch.arange(24.0).reshape(2, 3, 4)
        assert rearrange(x, "b n c -> b (n c)").tolist() == x.reshape(2, 12).tolist()
        assert reduce(x, "b n c -> c", "max").tolist() == [20.0, 21.0, 22.0, 23.0]
        assert repeat(x, "b n c -> b n (c r)", r=2)[0, 0].tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
        assert torch.equal(einsum(x, x, "b n c, b m c -> b n m"), x @ x.mT)
        packed, shapes = pack([x, x[:, 0]], "b * c")
        assert torch.equal(unpack(packed, shapes, "b * c")[1], x[:, 0])
        model = nn.Sequential(
            Rearrange("b (h w) c -> b c h w", h=4),
            nn.Conv2d(3, 6, 3),
            Reduce("b c h w -> b c", "max"),
            EinMix("b c -> b d", weight_shape="c d", bias_shape="d", c=6, d=5),
        )
        model(torch.randn(2, 16, 3)).sum().backward()
        assert model[3].bias.grad.flatten().tolist() == [2.0] * 5
    """,
    "skorch": """
        import pickle

        from sklearn.datasets import make_classification
        from sklearn.model_selection import GridSearchCV
        from skorch import NeuralNetClassifier

        x, y = make_classification(120, 10, class_sep=2.0, random_state=0)
        x, y = x.astype("float32"), y.astype("int64")

        class Net(nn.Module):
            def __init__(self, hidden=8):
                super().__init__()
                self.layers = nn.Sequential(
                    nn.Linear(10, hidden), nn.ReLU(), nn.Linear(hidden, 2), nn.Softmax(-1)
                )

            def forward(self, x):
                return self.layers(x)

        net = NeuralNetClassifier(
            Net, max_epochs=8, lr=0.3, verbose=0, iterator_train__shuffle=True
        )
        net.fit(x, y)
        losses = net.history[:, "train_loss"]
        assert losses[-1] < losses[0] / 2
        assert net.score(x, y) > 0.85
        assert abs(net.predict_proba(x).sum(1) - 1).max() < 1e-5
        again = pickle.loads(pickle.dumps(net))
        assert (again.predict(x) == net.predict(x)).all()
        search = GridSearchCV(net, {"module__hidden": [4, 8]}, cv=2, scoring="accuracy")
        assert search.fit(x, y).best_score_ > 0.7
    """,
    "captum": """
        from captum.attr import IntegratedGradients, LayerGradCam, Occlusion, Saliency

        weight = torch.tensor([[1.0, -2.0, 3.0], [0.0, 1.0, 0.0]])
        model = nn.Linear(3, 2, bias=False)
        model.weight.data = weight
        x = torch.tensor([[1.0, 2.0, 3.0]])
        found, delta = IntegratedGradients(model).attribute(
            x, target=0, return_convergence_delta=True
        )
        assert torch.allclose(found, x * weight[0], atol=1e-5) and abs(delta.item()) < 1e-4
        assert torch.allclose(Saliency(model).attribute(x, target=0), weight[:1].abs())
        found = Occlusion(model).attribute(x, target=0, sliding_window_shapes=(1,))
        assert torch.allclose(found, x * weight[0], atol=1e-5)
        net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(32, 2))
        assert LayerGradCam(net, net[0]).attribute(torch.randn(2, 1, 6, 6), target=1).shape[0] == 2
    """,
    "torchvision": """
        import numpy
        from PIL import Image
        from torchvision import models, transforms, utils
        from torchvision.ops import box_iou, roi_align

        sizes = {"resnet18": 11_181_642, "mobilenet_v2": 2_236_682, "vit_b_16": None}
        for name, size in sizes.items():
            options = {"image_size": 32} if name == "vit_b_16" else {}
            model = getattr(models, name)(weights=None, num_classes=10, **options).eval()
            assert size is None or sum(each.numel() for each in model.parameters()) == size
            with torch.no_grad():
                assert model(torch.randn(1, 3, 32, 32)).isfinite().all()
        image = Image.fromarray(numpy.arange(27 * 31 * 3, dtype="uint8").reshape(27, 31, 3))
        made = transforms.Compose(
            [
                transforms.Resize(20),
                transforms.RandomCrop(16),
                transforms.ColorJitter(0.2, 0.2),
                transforms.ToTensor(),
                transforms.Normalize((0.5,) * 3, (0.5,) * 3),
            ]
        )(image)
        assert made.shape == (3, 16, 16) and made.abs().max() <= 1
        assert utils.make_grid(torch.rand(5, 3, 8, 8), nrow=3).shape == (3, 22, 32)
        boxes = torch.tensor([[0.0, 0.0, 4.0, 4.0], [2.0, 0.0, 6.0, 4.0]])
        assert torch.allclose(box_iou(boxes, boxes)[0], torch.tensor([1.0, 1 / 3]))
        plane = torch.arange(64.0).reshape(1, 1, 8, 8)
        assert roi_align(plane, [boxes[:1]], (2, 2), aligned=True).shape == (1, 1, 2, 2)
    """,
    "torchmetrics": """
        from torchmetrics import Accuracy, ConfusionMatrix, MeanSquaredError

        scores = torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.3, 0.7]])
        labels = torch.tensor([0, 1, 1, 1])
        metric = Accuracy(task="multiclass", num_classes=2, average="micro")
        metric.update(scores, labels)
        assert metric.compute().item() == 0.75
        matrix = ConfusionMatrix(task="multiclass", num_classes=2)(scores, labels)
        assert matrix.tolist() == [[1, 0], [1, 2]]
        assert abs(MeanSquaredError()(torch.ones(4), torch.zeros(4)).item() - 1) < 1e-6
    """,
    "safetensors": """
        import tempfile

        from safetensors.torch import load_file, load_model, save_file, save_model

        path = tempfile.mkdtemp() + "/a.safetensors"
        held = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(2, dtype=torch.bfloat16)}
        save_file(held, path, metadata={"format": "pt"})
        found = load_file(path)
        assert found["a"].tolist() == held["a"].tolist() and found["b"].dtype == torch.bfloat16
        model, other = nn.Linear(3, 4), nn.Linear(3, 4)
        save_model(model, path)
        load_model(other, path)
        assert torch.equal(model.weight, other.weight)
    """,
    "timm": """
        import timm

        for name in ("resnet10t", "vit_tiny_patch16_224", "efficientnet_lite0"):
            options = {"img_size": 32} if name.startswith("vit") else {}
            model = timm.create_model(name, num_classes=3, **options)
            model(torch.randn(2, 3, 32, 32)).sum().backward()
            assert all(each.grad is not None for each in model.get_classifier().parameters())
    """,
    "accelerate": """
        from accelerate import Accelerator
        from torch.utils.data import DataLoader, TensorDataset

        accelerator = Accelerator(cpu=True)
        model = nn.Linear(4, 1)
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        loader = DataLoader(TensorDataset(torch.ones(16, 4), torch.zeros(16, 1)), 4)
        model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
        losses = []
        for x, y in loader:
            loss = nn.functional.mse_loss(model(x), y)
            optimizer.zero_grad()
            accelerator.backward(loss)
            optimizer.step()
            losses.append(loss.item())
        assert losses[-1] < losses[0]
    """,
    "transformers": """
        from transformers import BertConfig, BertModel, GPT2Config, GPT2LMHeadModel

        small = dict(vocab_size=50, hidden_size=32, num_hidden_layers=2, num_attention_heads=2)
        bert = BertModel(BertConfig(intermediate_size=64, **small)).eval()
        tokens = torch.arange(10)[None]
        mask = torch.tensor([[1] * 7 + [0] * 3])
        whole = bert(tokens, attention_mask=mask).last_hidden_state
        part = bert(tokens[:, :7]).last_hidden_state
        assert torch.allclose(whole[:, :7], part, atol=1e-5)
        gpt = GPT2LMHeadModel(GPT2Config(vocab_size=50, n_embd=32, n_layer=2, n_head=2)).eval()
        gpt(tokens, labels=tokens).loss.backward()
        written = gpt.generate(tokens, max_new_tokens=4, do_sample=False, pad_token_id=0)
        again = tokens
        for _ in range(4):  # without a cache
            again = torch.cat([again, gpt(again).logits[:, -1:].argmax(-1)], 1)
        assert written.tolist() == again.tolist()
    """,
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_library(name: str) -> None:
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
    program = (
        "import flambeau.as_torch, torch\nfrom torch import nn\ntorch.manual_seed(0)\n"
        + textwrap.dedent(PROGRAMS[name])
        + "\nimport flambeau\nassert torch is flambeau"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        capture_output=True,
        text=True,
        check=False,
    )
    missing = "ModuleNotFoundError: No module named"
    last = done.stderr.strip().splitlines()[-1] if done.stderr.strip() else ""
    if last.startswith(missing):
        pytest.skip(f"{name} needs what is not installed: {last.removeprefix(missing).strip()}")
    assert done.returncode == 0, done.stderr
