// In: a request that NGINX refused. Out: its If-None-Match lines as one list (RFC 9110, 5.3) if the second of them is why,
// else nothing. NGINX stops reading at a repeated line, so it is the last header here.
function repeated(request) {
    var headers = request.rawHeadersIn;
    var lines = headers.filter(function (header) { return header[0].toLowerCase() === 'if-none-match'; });
    if (lines.length < 2 || headers[headers.length - 1] !== lines[lines.length - 1]) {
        return '';
    }
    return lines.map(function (header) { return header[1]; }).join(', ');
}

export default { repeated };
