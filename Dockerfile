# The README's install in an image: docker build -t perfkit . && docker run --rm -it -v "$PWD:/work" perfkit perfkit --help
FROM python:3.13-slim
COPY . /perfkit
RUN pip install --no-cache-dir '/perfkit[notebook]'
RUN useradd --create-home perfkit
USER perfkit
WORKDIR /work
EXPOSE 8888
CMD ["jupyter", "lab", "--ip=0.0.0.0", "--no-browser"]
