# docker build -t maskprop .                                                                        for CPUs
# docker build -t maskprop:gpu --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu128 .     for GPUs
# docker run --rm --shm-size=8g -v "$PWD:/work" maskprop infer mask_rcnn_r50_coco my_video.mp4 --out out
FROM python:3.11-slim

# PyTorch's own index of builds: cpu, cu126, cu128, ...
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONUNBUFFERED=1

RUN useradd --create-home --uid 1000 maskprop && install -d -o maskprop /work

# before the sources, so that a change of them installs nothing anew
COPY requirements.txt /src/
RUN pip install --extra-index-url "$TORCH_INDEX" -r /src/requirements.txt

COPY . /src
RUN pip install --no-deps /src && maskprop doctor --mend-opencv

USER maskprop
WORKDIR /work
ENTRYPOINT ["maskprop"]
CMD ["--help"]
