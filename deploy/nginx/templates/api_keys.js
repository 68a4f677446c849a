// In: a request. Out: the SHA-256 of the API key it carries, in hexadecimal, or nothing. NGINX looks the hash up
// among the known ones, so a key is kept nowhere: not in a file, not in a log.
import crypto from 'crypto';

function hash(request) {
    var headers = request.headersIn;
    var key = headers['X-Api-Key'];
    if (!key) {
        var bearer = /^Bearer +([^ ]+)$/i.exec(headers['Authorization'] || '');
        key = bearer ? bearer[1] : '';
    }
    return key ? crypto.createHash('sha256').update(key).digest('hex') : '';
}

export default { hash };
